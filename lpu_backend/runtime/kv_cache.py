"""Keys and values of one generation."""

import numpy as np
from numpy.typing import NDArray

PAGE_TOKENS = 256


class KvCache:
    """Grows in whole pages, at least doubling, so that copying stays a constant share of the work.

    `vectors` is [layers, 2 x kv_heads, capacity, head_dim], keys and then values; `length_tokens` of the capacity are
    filled. Under the chip's numerics it holds codes, and `scales` [layers, 2 x kv_heads, capacity] what those of a
    token are multiplied by; under float32 the scales are not used. A token's rows depend on the tokens up to it alone,
    so they serve every sequence that begins alike.
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int) -> None:
        self.kv_heads = kv_heads
        self._shape = (layers, 2 * kv_heads)
        self.length_tokens = 0
        self.vectors = self._allocate(PAGE_TOKENS, head_dim)
        self.scales = self._allocate(PAGE_TOKENS)

    @property
    def capacity_tokens(self) -> int:
        return int(self.vectors.shape[2])

    def reserve(self, tokens: int) -> None:
        """Make room for this many more tokens."""
        needed_tokens = self.length_tokens + tokens
        if needed_tokens <= self.capacity_tokens:
            return
        pages = -(-max(needed_tokens, 2 * self.capacity_tokens) // PAGE_TOKENS)
        self.vectors = self._grow(self.vectors, pages * PAGE_TOKENS)
        self.scales = self._grow(self.scales, pages * PAGE_TOKENS)

    def _grow(self, filled: NDArray[np.float32], capacity_tokens: int) -> NDArray[np.float32]:
        grown = self._allocate(capacity_tokens, *filled.shape[3:])
        grown[:, :, : self.length_tokens] = filled[:, :, : self.length_tokens]
        return grown

    def _allocate(self, capacity_tokens: int, *width: int) -> NDArray[np.float32]:
        return np.empty((*self._shape, capacity_tokens, *width), dtype=np.float32)
