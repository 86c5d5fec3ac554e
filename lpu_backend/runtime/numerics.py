"""What a forward pass asks of its arithmetic. Serving has the chip's; tests and evaluation compare it with float32's."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lpu_backend.runtime.kv_cache import KvCache

Floats = NDArray[np.float32]
Operand = Any
"""Rows as a Linear of the same arithmetic takes them: made by `normalise` or `prepare`, looked into by nobody else."""


class Linear(Protocol):
    """A matrix and a bias."""

    def __call__(self, rows: Operand) -> Floats:
        """Shape [tokens, inputs] to [tokens, outputs]."""


class Numerics(Protocol):
    """Each row's result depends on that row (and the cache) alone: how many rows there are changes no bit."""

    @property
    def name(self) -> str:
        """Names every rounding: a part of the program hash, so it changes when one of them does."""

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        """From a weight [outputs, inputs] and a bias [outputs]."""

    def prepare(self, rows: Floats) -> Operand:
        """Rows [tokens, inputs] for a Linear."""

    def normalise(self, rows: Floats, epsilon: np.float32) -> Operand:
        """RMSNorm without its weights, which the following matrix holds."""

    def activate(self, half_gate: Floats, up: Floats) -> Operand:
        """silu(2 half_gate) * up, both [tokens, inner]."""

    def store(self, cache: KvCache, layer: int, keys: Floats, values: Floats) -> None:
        """Put those of the tokens after the cache's, both [kv_heads, tokens, head_dim], into its rows."""

    def attend(
        self, queries: Floats, cache: KvCache, layer: int, mask: Floats | None, *, context_tokens: int
    ) -> Floats:
        """Softmax attention over the first rows of the cache.

        Queries [kv_heads, tokens x group, head_dim], scaled, to the same shape; the mask is added to the scores, as
        [tokens, 1, context].
        """
