"""Keys and values of one generation, in a pool of its own."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.runtime.page_pool import PAGE_TOKENS, PagePool


class KvCache:
    """Grows in whole pages, at least doubling, so that copying stays a constant share of the work."""

    def __init__(self, pool: PagePool) -> None:
        self.pool = pool
        self.length_tokens = 0

    @property
    def pages(self) -> NDArray[np.int32]:
        return np.arange(self.pool.pages, dtype=np.int32)

    @property
    def capacity_tokens(self) -> int:
        return self.pool.pages * PAGE_TOKENS

    def reserve(self, tokens: int) -> None:
        """Make room for this many more tokens."""
        needed_tokens = self.length_tokens + tokens
        if needed_tokens > self.capacity_tokens:
            self.pool = self.pool.enlarge(-(-max(needed_tokens, 2 * self.capacity_tokens) // PAGE_TOKENS))
