"""Keys and values of all sequences, by pages of a few tokens: any page may belong to any sequence, or to several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Floats = NDArray[np.float32]

PAGE_TOKENS = 16
_SPARE_CODES = 64


class PagePool:
    """A fixed number of pages, whose memory the system gives when it is first written.

    `codes` [layers, pages, 2 x kv_heads, PAGE_TOKENS x head_dim] are keys and then values: int8 codes under the chip's
    numerics, the numbers themselves under float32. They lie as the products that read them want it: keys [pairs of
    channels, tokens, 2], values [pairs of tokens, channels, 2]. `scales` [layers, pages, 2 x kv_heads, PAGE_TOKENS] is
    what the codes of a token are multiplied by; under float32 they are not used. A token's rows depend on the tokens up
    to it alone, so a page serves every sequence that begins alike.
    """

    def __init__(self, pages: int, layers: int, kv_heads: int, head_dim: int, dtype: DTypeLike) -> None:
        shape = (layers, pages, 2 * kv_heads, PAGE_TOKENS * head_dim)
        count = layers * pages * 2 * kv_heads * PAGE_TOKENS * head_dim
        # Kernels read whole vectors of channels, which may end behind the last.
        self.codes: NDArray[Any] = np.empty(count + _SPARE_CODES, dtype)[:count].reshape(shape)
        self.scales: Floats = np.empty((layers, pages, 2 * kv_heads, PAGE_TOKENS), np.float32)

    def view_tokens(self, layer: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Keys [pages, kv_heads, head_dim / 2, 2, tokens], values [pages, kv_heads, tokens / 2, 2, head_dim]."""
        keys, values = np.split(self.codes[layer], 2, axis=1)
        keys = keys.reshape(*keys.shape[:2], -1, PAGE_TOKENS, 2).swapaxes(3, 4)
        return keys, values.reshape(*values.shape[:2], PAGE_TOKENS // 2, -1, 2).swapaxes(3, 4)

    @property
    def pages(self) -> int:
        return int(self.codes.shape[1])

    @property
    def page_bytes(self) -> int:
        """Of one page, in all layers."""
        return (self.codes.nbytes + self.scales.nbytes) // self.pages

    def enlarge(self, pages: int) -> "PagePool":
        """A pool of so many pages, no fewer than here, of which the first are these."""
        layers, held, heads, size = self.codes.shape
        larger = PagePool(pages, layers, heads // 2, size // PAGE_TOKENS, self.codes.dtype)
        larger.codes[:, :held], larger.scales[:, :held] = self.codes, self.scales
        return larger


@dataclass(frozen=True, slots=True)
class TokenRun:
    """Tokens of one sequence that follow `first_position` others, whose keys and values are in the pool already.

    `pages` are the sequence's, in order: enough for the tokens before these and for these.
    """

    token_ids: Sequence[int]
    first_position: int
    pages: NDArray[np.int32]

    @property
    def end_position(self) -> int:
        return self.first_position + len(self.token_ids)


@dataclass(frozen=True, slots=True)
class CachedSequence:
    """The rows of one sequence in a pool: `length_tokens` are filled."""

    pool: PagePool
    pages: NDArray[np.int32]
    length_tokens: int

    def store(self, layer: int, vectors: Floats, scales: Floats | None = None) -> None:
        """Put in the keys and values of the tokens that follow: [tokens, 2 x kv_heads, head_dim], and their scales."""
        places = np.arange(self.length_tokens, self.length_tokens + len(vectors))
        pages, slots = self.pages[places // PAGE_TOKENS], places % PAGE_TOKENS
        keys, values = self.pool.view_tokens(layer)
        heads = keys.shape[1]
        keys[pages, :, :, :, slots] = vectors[:, :heads].reshape(len(vectors), heads, -1, 2)
        values[pages, :, slots // 2, slots % 2] = vectors[:, heads:]
        if scales is not None:
            self.pool.scales[layer, pages, :, slots] = scales

    def read(self, layer: int, first: int, end: int) -> tuple[Floats, Floats]:
        """Tokens `first` to `end`: [2 x kv_heads, tokens, head_dim] as float32, and scales [2 x kv_heads, tokens]."""
        first_page = first // PAGE_TOKENS
        pages = self.pages[first_page : -(-end // PAGE_TOKENS)]
        part = slice(first - first_page * PAGE_TOKENS, end - first_page * PAGE_TOKENS)
        keys, values = (codes[pages] for codes in self.pool.view_tokens(layer))
        heads = keys.shape[1]
        by_token = keys.reshape(len(pages), heads, -1, PAGE_TOKENS).transpose(1, 0, 3, 2)
        keys = by_token.reshape(heads, -1, by_token.shape[3])
        values = values.swapaxes(0, 1).reshape(keys.shape)
        scales = self.pool.scales[layer, pages].swapaxes(0, 1).reshape(2 * heads, -1)
        return np.concatenate([keys[:, part], values[:, part]], dtype=np.float32), scales[:, part]
