"""What a forward pass asks of its arithmetic: the chip's in serving; in tests and evaluation also float32."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lpu_backend.runtime.kv_cache import KvCache

Floats = NDArray[np.float32]
Operand = Any
"""Rows as a Linear of the same arithmetic takes them: nobody else looks into them."""


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

    def normalise(self, rows: Floats, epsilon: np.float32) -> Operand:
        """RMSNorm without its weights, which the following matrix holds."""

    def activate(self, half_gate: Floats, up: Floats) -> Operand:
        """silu(2 half_gate) * up, both [tokens, inner]."""

    def attend(self, heads: Floats, cache: KvCache, layer: int, mask: Floats | None) -> Operand:
        """Put the tokens' keys and values into the cache, after its tokens; softmax attention over all of them.

        `heads` [tokens, query_heads + 2 x kv_heads, head_dim]: queries, scaled, then keys, then values. The mask
        [tokens, 1, context] is added to the scores. The result, [tokens, query_heads x head_dim], is prepared.
        """
