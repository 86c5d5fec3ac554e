"""Rotary position embeddings: the frequencies of one checkpoint, and the rotations of a run of positions."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpu_backend.exceptions import CheckpointError

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
        exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
        frequencies: NDArray[np.float32] = np.float32(1.0) / np.float32(self.rope_theta) ** exponents
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


def compute_rotations(
    inverse_frequencies: NDArray[np.float32], first_position: int, tokens: int
) -> NDArray[np.complex64]:
    """Unit complex numbers, shape [tokens, 1, head_dim / 2]: multiplying a pair by one turns it to its position."""
    positions = np.arange(first_position, first_position + tokens, dtype=np.float32)
    angles = positions[:, None, None] * inverse_frequencies
    rotations = np.empty(angles.shape, dtype=np.complex64)
    np.cos(angles, out=rotations.real)
    np.sin(angles, out=rotations.imag)
    return rotations
