"""Rotary position embeddings: the rotations of a run of positions."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import cos_sin
from lpu_backend.graph.nodes import RopeTable

PAGE_POSITIONS = 256


class RotationTable:
    """Cosines and sines of every position, made a page at a time when first asked for: the same whoever asks."""

    def __init__(self, rope: RopeTable) -> None:
        self._frequencies = np.array(rope.frequencies, np.float32)
        self._factor = np.float32(rope.factor)
        self._pages: dict[int, NDArray[np.float32]] = {}

    def get(self, first_position: int, tokens: int) -> NDArray[np.float32]:
        """Shape [2, tokens, 1, 2, head_dim / 2]: for both halves of a head the cosines, then the signed sines."""
        end = first_position + tokens
        first_page, last_page = first_position // PAGE_POSITIONS, (end - 1) // PAGE_POSITIONS
        pages = [self._get_page(page) for page in range(first_page, last_page + 1)]
        joined = pages[0] if len(pages) == 1 else np.concatenate(pages, axis=1)
        start = first_position - first_page * PAGE_POSITIONS
        return joined[:, start : start + tokens]

    def _get_page(self, page: int) -> NDArray[np.float32]:
        if page not in self._pages:
            self._pages[page] = self._make_page(page * PAGE_POSITIONS)
        return self._pages[page]

    def _make_page(self, first_position: int) -> NDArray[np.float32]:
        positions = np.arange(first_position, first_position + PAGE_POSITIONS, dtype=np.float32)
        cosines, sines = cos_sin(positions[:, None, None] * self._frequencies)
        table = np.stack([np.stack([cosines, cosines], axis=2), np.stack([-sines, sines], axis=2)])
        return table * self._factor


def rotate(heads: NDArray[np.float32], rotations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn pairs (i, i + head_dim / 2) of [tokens, heads, head_dim]: two products each, then their sum."""
    halves = heads.reshape(*heads.shape[:2], 2, -1)
    cosines, sines = rotations
    turned: NDArray[np.float32] = halves * cosines
    turned += halves[:, :, ::-1] * sines
    return turned.reshape(heads.shape)
