"""Rotary position embeddings: the frequencies of one checkpoint, and the rotations of a run of positions."""

import math
from decimal import Decimal, localcontext

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import cos_sin
from lpu_backend.exceptions import CheckpointError

PAGE_POSITIONS = 256
SUPPORTED_ROPE_TYPES = ("default", "linear", "llama3")


class RopeConfig(msgspec.Struct, frozen=True):
    """The rotary fields of config.json under their own names."""

    rope_theta: float
    rope_type: str
    original_max_position_embeddings: int
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    partial_rotary_factor: float = 1.0

    def inverse_frequencies(self, head_dim: int) -> NDArray[np.float32]:
        """Radians per position of each pair, shape [head_dim / 2]. Raises CheckpointError for an unsupported scheme."""
        if self.rope_type not in SUPPORTED_ROPE_TYPES:
            raise CheckpointError(
                f"config.json: rope_type: {self.rope_type!r} is not supported, only {', '.join(SUPPORTED_ROPE_TYPES)}"
            )
        if self.partial_rotary_factor != 1.0:
            raise CheckpointError("config.json: partial_rotary_factor: only 1.0 is supported")
        frequencies = _take_powers(self.rope_theta, head_dim)
        if self.rope_type == "linear":
            return frequencies / np.float32(self.factor)
        return self._scale_long_waves(frequencies) if self.rope_type == "llama3" else frequencies

    def _scale_long_waves(self, frequencies: NDArray[np.float32]) -> NDArray[np.float32]:
        """Llama 3.1's rule: short waves stay, long ones slow down by `factor`, those between are blended."""
        turns = self.original_max_position_embeddings * frequencies / (2 * math.pi)
        share_kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        share_kept = np.clip(share_kept, 0.0, 1.0)
        scaled: NDArray[np.float32] = (frequencies * (share_kept + (1.0 - share_kept) / self.factor)).astype(np.float32)
        return scaled


def _take_powers(theta: float, head_dim: int) -> NDArray[np.float32]:
    """theta to the -2 i / head_dim, in decimals: their exp and ln are rounded correctly, a library's power is not."""
    with localcontext() as context:
        context.prec = 30
        step = Decimal(theta).ln() * -2 / head_dim
        return np.array([float((step * i).exp()) for i in range(head_dim // 2)], dtype=np.float32)


class RotationTable:
    """Cosines and sines of every position, made a page at a time when first asked for: the same whoever asks."""

    def __init__(self, inverse_frequencies: NDArray[np.float32]) -> None:
        self._inverse_frequencies = inverse_frequencies
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
        cosines, sines = cos_sin(positions[:, None, None] * self._inverse_frequencies)
        return np.stack([np.stack([cosines, cosines], axis=2), np.stack([-sines, sines], axis=2)])


def rotate(heads: NDArray[np.float32], rotations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn pairs (i, i + head_dim / 2) of [tokens, heads, head_dim]: two products each, then their sum."""
    halves = heads.reshape(*heads.shape[:2], 2, -1)
    cosines, sines = rotations
    turned: NDArray[np.float32] = halves * cosines
    turned += halves[:, :, ::-1] * sines
    return turned.reshape(heads.shape)
