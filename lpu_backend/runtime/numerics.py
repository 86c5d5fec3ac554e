"""What a forward pass asks of its arithmetic: the chip's in serving; in tests and evaluation also float32."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lpu_backend.graph.function_nodes import Function
from lpu_backend.graph.nodes import Activation, Attend
from lpu_backend.runtime.page_pool import CachedSequence

Floats = NDArray[np.float32]
Operand = Any
"""Rows as a Linear of the same arithmetic takes them: nobody else looks into them."""


class Sight(NamedTuple):
    """Which tokens of the cache a run of tokens sees: those from `first` on, less what the mask hides.

    The mask [tokens, 1, context - first] is 0 or -inf; None hides nothing.
    """

    first: int
    mask: Floats | None


class Linear(Protocol):
    """A matrix and a bias."""

    def __call__(self, rows: Operand) -> Floats:
        """Shape [tokens, inputs] to [tokens, outputs]."""


class Numerics(Protocol):
    """Each row's result depends on that row (and the cache) alone: how many rows there are changes no bit."""

    @property
    def name(self) -> str:
        """Names every rounding: a part of the program hash, so it changes when one of them does."""

    @property
    def cache_type(self) -> DTypeLike:
        """Of the numbers that stand for keys and values."""

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        """From a weight [outputs, inputs] and a bias [outputs]."""

    def prepare(self, rows: Floats) -> Operand:
        """Rows [tokens, inputs] for a Linear."""

    def normalise(self, rows: Floats, epsilon: np.float32) -> Operand:
        """RMSNorm of rows for a Linear that holds the norm's weights."""

    def apply_norm(self, rows: Floats, epsilon: np.float32, weight: Floats | None) -> Floats:
        """RMSNorm over the last axis."""

    def apply_layer_norm(self, rows: Floats, epsilon: float, weight: Floats | None, bias: Floats | None) -> Floats:
        """LayerNorm over the last axis of [tokens, channels]."""

    def activate(self, function: Function, rows: Floats) -> Floats:
        """`function` of each element."""

    def take_rows(self, rows: Operand, tokens: NDArray[np.intp]) -> Operand:
        """Some rows of an operand."""

    def gate(self, activation: Activation, gate: Floats, up: Floats) -> Floats:
        """activation(gate) * up, both [tokens, inner]; for silu the gate comes as its half."""

    def cap(self, x: Floats, cap: float) -> Floats:
        """cap * tanh(x / cap), of any shape."""

    def attend(
        self, node: Attend, heads: Floats, cached: CachedSequence, sight: Sight, sinks: Floats | None = None
    ) -> Floats:
        """Put the tokens' keys and values after those of their sequence; softmax attention over what they see.

        `heads` [tokens, query_heads + 2 x kv_heads, head_dim]: queries, scaled, then keys, then values.
        The result is [tokens, query_heads x head_dim]. `sinks` [query_heads] are the node's.
        """

    def weigh_experts(self, scores: Floats, chosen: NDArray[np.bool_], *, renormalise: bool) -> Floats:
        """Softmax of the router's scores [tokens, experts], over the chosen ones' sum if renormalised."""
