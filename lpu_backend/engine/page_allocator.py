"""Which pages of the KV cache belong to whom: held by sequences, kept for the next that begins alike, or free."""

from collections import OrderedDict


class PageAllocator:
    """Pages 0 to `pages` - 1. A page with a key is full and never written again, so any number of sequences may hold
    it; once none does, it is kept until room is needed, the one left longest first to go."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._free = list(range(pages - 1, -1, -1))
        self._holders = [0] * pages
        self._keys: dict[int, bytes] = {}
        self._pages: dict[bytes, int] = {}
        self._kept: OrderedDict[int, None] = OrderedDict()

    @property
    def available_pages(self) -> int:
        """How many can be taken."""
        return len(self._free) + len(self._kept)

    @property
    def free_pages(self) -> int:
        return len(self._free)

    @property
    def cached_pages(self) -> int:
        """Pages that no sequence holds, kept for the next that begins alike."""
        return len(self._kept)

    def take(self) -> int | None:
        """A page to write, or None if all are held."""
        if self._free:
            page = self._free.pop()
        elif self._kept:
            page, _ = self._kept.popitem(last=False)
            del self._pages[self._keys.pop(page)]
        else:
            return None
        self._holders[page] = 1
        return page

    def find(self, key: bytes) -> int | None:
        """The page of this key."""
        return self._pages.get(key)

    def is_held(self, page: int) -> bool:
        return self._holders[page] > 0

    def hold(self, page: int) -> None:
        """One more holder of a page that `find` named."""
        self._kept.pop(page, None)
        self._holders[page] += 1

    def publish(self, page: int, key: bytes) -> None:
        """A held page is full. If another one has its key, that stays the one to be found."""
        if key not in self._pages and page not in self._keys:
            self._pages[key] = page
            self._keys[page] = key

    def release(self, page: int) -> None:
        """One holder less."""
        self._holders[page] -= 1
        if self._holders[page]:
            return
        if page in self._keys:
            self._kept[page] = None
        else:
            self._free.append(page)
