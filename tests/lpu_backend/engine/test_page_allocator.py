"""Pages: taken, shared, kept and taken again."""

from lpu_backend.engine.page_allocator import PageAllocator
from lpu_backend.engine.page_keys import PageKeys


def keep(allocator: PageAllocator, key: bytes) -> int:
    """A page that was filled under this key and let go."""
    page = allocator.take()
    assert page is not None
    allocator.publish(page, key)
    allocator.release(page)
    return page


def test_it_gives_each_page_once_and_then_none() -> None:
    allocator = PageAllocator(3)
    assert {allocator.take() for _ in range(3)} == {0, 1, 2}
    assert allocator.take() is None


def test_a_page_without_a_key_is_free_again_once_it_is_released() -> None:
    allocator = PageAllocator(1)
    page = allocator.take()
    assert (allocator.free_pages, page) == (0, 0)
    allocator.release(0)
    assert (allocator.free_pages, allocator.cached_pages) == (1, 0)


def test_a_page_with_a_key_is_kept_and_found_until_room_is_needed() -> None:
    allocator = PageAllocator(2)
    first, second = keep(allocator, b"first"), keep(allocator, b"second")
    assert (allocator.find(b"first"), allocator.find(b"second")) == (first, second)
    allocator.take()
    assert (allocator.find(b"first"), allocator.find(b"second")) == (None, second)


def test_the_page_that_was_used_longest_ago_goes_first() -> None:
    allocator = PageAllocator(2)
    first = keep(allocator, b"first")
    keep(allocator, b"second")
    allocator.hold(first)
    allocator.release(first)
    allocator.take()
    assert (allocator.find(b"first"), allocator.find(b"second")) == (first, None)


def test_a_page_that_is_held_is_never_taken_from_its_holder() -> None:
    allocator = PageAllocator(1)
    page = keep(allocator, b"key")
    allocator.hold(page)
    allocator.hold(page)
    allocator.release(page)
    assert allocator.is_held(page)
    assert allocator.take() is None
    allocator.release(page)
    assert allocator.take() == page


def test_of_two_pages_with_the_same_tokens_one_is_found_and_the_other_becomes_free() -> None:
    allocator = PageAllocator(2)
    pages = [allocator.take(), allocator.take()]
    for page in pages:
        allocator.publish(page, b"key")
    for page in pages:
        allocator.release(page)
    assert allocator.find(b"key") == pages[0]
    assert (allocator.free_pages, allocator.cached_pages) == (1, 1)


def test_a_key_is_of_all_tokens_up_to_the_end_of_its_page_and_of_the_salt() -> None:
    ids = list(range(64))
    other_begin, other_end = [99, *ids[1:]], [*ids[:-1], 99]
    assert PageKeys(b"").get(3, ids) == PageKeys(b"").get(3, ids)
    keys = [PageKeys(b"").get(3, each) for each in (ids, other_begin, other_end)]
    keys += [PageKeys(b"").get(2, ids), PageKeys(b"salt").get(3, ids)]
    assert len(set(keys)) == 5
    assert PageKeys(b"").get(2, other_end) == PageKeys(b"").get(2, ids)
