"""Text leaves in whole characters and never shows a stop string."""

from hypothesis import given
from hypothesis import strategies as st

from lpu_backend.text_release import TextRelease

PIECES = st.lists(st.binary(max_size=5), max_size=30)
STOPS = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=4)


@given(PIECES)
def test_any_bytes_join_to_their_decoding(pieces: list[bytes]) -> None:
    release = TextRelease(())
    released = [release.push(piece) for piece in pieces]
    assert "".join(released) + release.flush() == b"".join(pieces).decode("utf-8", errors="replace")


@given(st.text(), st.integers(1, 3))
def test_a_character_split_over_tokens_is_never_shown_broken(text: str, size: int) -> None:
    data, release = text.encode(), TextRelease(())
    released = "".join(release.push(data[i : i + size]) for i in range(0, len(data), size))
    assert released == text


@given(st.lists(st.text(alphabet="abc", max_size=3), max_size=20), STOPS)
def test_what_is_shown_ends_before_the_first_completed_stop_string(pieces: list[str], stops: list[str]) -> None:
    release, shown, seen = TextRelease(stops), "", ""
    for piece in pieces:
        seen += piece
        shown += release.push(piece.encode())
        if release.is_stopped:
            break
        assert not any(stop in shown for stop in stops)
        assert seen.startswith(shown)
    if release.is_stopped:
        assert shown == seen[: min(seen.index(stop) for stop in stops if stop in seen)]
    else:
        assert not any(stop in seen for stop in stops)
        assert shown + release.flush() == seen
