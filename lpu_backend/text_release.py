"""Bytes of sampled tokens to text that may be shown: whole characters, and nothing of a stop string."""

import codecs
from collections.abc import Sequence


class TextRelease:
    """Holds back an incomplete UTF-8 character and what may become a stop string. One per generation."""

    def __init__(self, stop: Sequence[str], *, drops_first_space: bool = False) -> None:
        """Some tokenizers' answers begin with a space that is not part of them."""
        self._drops_space = drops_first_space
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._withheld = ""
        self.is_stopped = False

    def push(self, token_bytes: bytes) -> str:
        """Add one token's bytes; return the text that is certain now. Sets `is_stopped` at a stop string."""
        if self._drops_space and token_bytes:
            token_bytes, self._drops_space = token_bytes.removeprefix(b" "), False
        return self._release(self._decoder.decode(token_bytes))

    def flush(self) -> str:
        """The text still withheld at the end of an answer; a character cut off becomes U+FFFD."""
        text = self._release(self._decoder.decode(b"", final=True)) + self._withheld
        self._withheld = ""
        return text

    def _release(self, text: str) -> str:
        pending = self._withheld + text
        starts = [start for start in map(pending.find, self._stop) if start >= 0]
        if starts:
            self.is_stopped, self._withheld = True, ""
            return pending[: min(starts)]
        held = self._count_possible_stop(pending)
        self._withheld = pending[len(pending) - held :]
        return pending[: len(pending) - held]

    def _count_possible_stop(self, pending: str) -> int:
        """Length of the longest ending of `pending` with which a stop string begins."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(pending)), 0, -1):
            if any(stop.startswith(pending[-length:]) for stop in self._stop):
                return length
        return 0
