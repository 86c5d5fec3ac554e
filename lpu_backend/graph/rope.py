"""Rotary position embeddings: the frequencies that a configuration asks for."""

import math
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.nodes import RopeTable

SUPPORTED_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
_PRECISION_DIGITS = 30
_TURN = Decimal("6.283185307179586476925286766559")


class RopeConfig(msgspec.Struct, frozen=True):
    """The rotary fields of config.json under their own names."""

    rope_theta: float
    rope_type: str
    original_max_position_embeddings: int
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    partial_rotary_factor: float = 1.0
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    truncate: bool = True
    mscale: float | None = None
    mscale_all_dim: float | None = None

    def make_table(self, head_dim: int) -> RopeTable:
        """Frequencies of heads of this width. Raises CheckpointError for an unsupported scheme."""
        if self.rope_type not in SUPPORTED_ROPE_TYPES:
            raise CheckpointError(
                f"config.json: rope_type: {self.rope_type!r} is not supported, only {', '.join(SUPPORTED_ROPE_TYPES)}"
            )
        if self.partial_rotary_factor != 1.0:
            raise CheckpointError("config.json: partial_rotary_factor: only 1.0 is supported")
        if self.mscale or self.mscale_all_dim:
            raise CheckpointError("config.json: mscale: is not supported")
        frequencies = _take_powers(self.rope_theta, head_dim)
        if self.rope_type == "yarn":
            return RopeTable(tuple(self._blend_by_turns(frequencies).tolist()), self._find_yarn_factor())
        if self.rope_type == "linear":
            frequencies = frequencies / np.float32(self.factor)
        elif self.rope_type == "llama3":
            frequencies = self._scale_long_waves(frequencies)
        return RopeTable(tuple(frequencies.tolist()))

    def _scale_long_waves(self, frequencies: NDArray[np.float32]) -> NDArray[np.float32]:
        """Llama 3.1's rule: short waves stay, long ones slow down by `factor`, those between are blended."""
        turns = self.original_max_position_embeddings * frequencies / (2 * math.pi)
        share_kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        share_kept = np.clip(share_kept, 0.0, 1.0)
        scaled: NDArray[np.float32] = (frequencies * (share_kept + (1.0 - share_kept) / self.factor)).astype(np.float32)
        return scaled

    def _blend_by_turns(self, frequencies: NDArray[np.float32]) -> NDArray[np.float32]:
        """YaRN, section 3.2 (arXiv 2309.00071): pairs that turn often stay, slow ones slow down by `factor`."""
        head_dim = 2 * len(frequencies)
        first = self._find_pair(self.beta_fast or 32.0, head_dim)
        last = self._find_pair(self.beta_slow or 1.0, head_dim)
        if self.truncate:
            first, last = float(math.floor(first)), float(math.ceil(last))
        first, last = max(first, 0.0), min(last, head_dim - 1.0)
        last += 0.001 if first == last else 0.0
        share_slowed = np.clip((np.arange(len(frequencies)) - first) / (last - first), 0.0, 1.0)
        blended = frequencies * (share_slowed / self.factor + (1.0 - share_slowed))
        rounded: NDArray[np.float32] = blended.astype(np.float32)
        return rounded

    def _find_pair(self, turns: float, head_dim: int) -> float:
        """The pair, between whole ones, that turns so often within the original context."""
        with localcontext() as context:
            context.prec = _PRECISION_DIGITS
            longest = Decimal(self.original_max_position_embeddings) / (Decimal(turns) * _TURN)
            return float(head_dim * longest.ln() / (2 * Decimal(self.rope_theta).ln()))

    def _find_yarn_factor(self) -> float:
        """On cosines and sines: section 3.4."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.factor <= 1:
            return 1.0
        with localcontext() as context:
            context.prec = _PRECISION_DIGITS
            return float(Decimal(self.factor).ln() / 10 + 1)


def read_rope_config(fields: dict[str, Any]) -> RopeConfig:
    """From the fields of either spelling, joined. Raises CheckpointError."""
    fields.setdefault("rope_type", fields.get("type", "default"))
    try:
        return msgspec.convert(fields, RopeConfig)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"config.json: rope settings: {error}") from error


def _take_powers(theta: float, head_dim: int) -> NDArray[np.float32]:
    """theta to the -2 i / head_dim, in decimals: their exp and ln are rounded correctly, a library's power is not."""
    with localcontext() as context:
        context.prec = _PRECISION_DIGITS
        step = Decimal(theta).ln() * -2 / head_dim
        return np.array([float((step * i).exp()) for i in range(head_dim // 2)], dtype=np.float32)
