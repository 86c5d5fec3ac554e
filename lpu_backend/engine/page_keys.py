"""What a full page of the KV cache is found by: its own tokens and all before them."""

import struct
from collections.abc import Sequence
from hashlib import blake2b

from lpu_backend.runtime.page_pool import PAGE_TOKENS

_pack_ids = struct.Struct(f"<{PAGE_TOKENS}I").pack


class PageKeys:
    """Keys of the first pages of a sequence, made as they are asked for.

    Each is a digest of the key before it and of its page's ids, the first one's of `salt`: 256 bits, so that two
    beginnings never share a key, even if somebody looks for them.
    """

    def __init__(self, salt: bytes) -> None:
        self._keys = [blake2b(salt, digest_size=32, person=b"salt").digest()]

    def get(self, page_index: int, token_ids: Sequence[int]) -> bytes:
        """Of the page with that 0-based index; `token_ids` are the sequence's, from its start."""
        while len(self._keys) <= page_index + 1:
            begin = (len(self._keys) - 1) * PAGE_TOKENS
            ids = _pack_ids(*token_ids[begin : begin + PAGE_TOKENS])
            self._keys.append(blake2b(self._keys[-1] + ids, digest_size=32).digest())
        return self._keys[page_index + 1]
