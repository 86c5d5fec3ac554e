"""Keys and values of one generation."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.config import ModelConfig

PAGE_TOKENS = 256


class KvCache:
    """Grows in whole pages, at least doubling, so that copying stays a constant share of the work.

    `keys` and `values` have shape [layers, kv_heads, capacity, head_dim]; `length_tokens` of the capacity are filled.
    Under the chip's numerics they hold codes, and `key_scales` and `value_scales` [layers, kv_heads, capacity] what a
    row's codes are multiplied by; under float32 the scales are not used. A token's rows depend on the tokens up to it
    alone, so they serve every sequence that begins alike.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._shape = (config.num_hidden_layers, config.kv_heads)
        self._head_dim = config.head_width
        self.length_tokens = 0
        self.keys = self._allocate(PAGE_TOKENS, self._head_dim)
        self.values = self._allocate(PAGE_TOKENS, self._head_dim)
        self.key_scales = self._allocate(PAGE_TOKENS)
        self.value_scales = self._allocate(PAGE_TOKENS)

    @property
    def capacity_tokens(self) -> int:
        return int(self.keys.shape[2])

    def reserve(self, tokens: int) -> None:
        """Make room for this many more tokens."""
        needed_tokens = self.length_tokens + tokens
        if needed_tokens <= self.capacity_tokens:
            return
        pages = -(-max(needed_tokens, 2 * self.capacity_tokens) // PAGE_TOKENS)
        self.keys = self._grow(self.keys, pages * PAGE_TOKENS)
        self.values = self._grow(self.values, pages * PAGE_TOKENS)
        self.key_scales = self._grow(self.key_scales, pages * PAGE_TOKENS)
        self.value_scales = self._grow(self.value_scales, pages * PAGE_TOKENS)

    def _grow(self, filled: NDArray[np.float32], capacity_tokens: int) -> NDArray[np.float32]:
        grown = self._allocate(capacity_tokens, *filled.shape[3:])
        grown[:, :, : self.length_tokens] = filled[:, :, : self.length_tokens]
        return grown

    def _allocate(self, capacity_tokens: int, *width: int) -> NDArray[np.float32]:
        return np.empty((*self._shape, capacity_tokens, *width), dtype=np.float32)
