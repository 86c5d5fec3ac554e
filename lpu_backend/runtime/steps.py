"""The steps of a forward pass: each computes one or a few of a graph's values for a run of tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpu_backend.graph.function_nodes import Function
from lpu_backend.graph.nodes import Activation, Attend
from lpu_backend.runtime.numerics import Floats, Linear, Numerics, Sight
from lpu_backend.runtime.page_pool import CachedSequence
from lpu_backend.runtime.rope import rotate

Values = dict[str, Any]
"""By name: rows [tokens, channels], and operands."""


@dataclass(frozen=True, slots=True)
class SequenceRows:
    """Which rows of a pass are one sequence's, the tokens that they follow, and what they see of them."""

    rows: slice
    cached: CachedSequence
    sights: Mapping[int | None, Sight]
    """By the width of the window."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the steps of one pass share: its sequences, and what the positions of all rows decide."""

    sequences: tuple[SequenceRows, ...]
    rotations: Floats


Step = Callable[[Values, Run], None]


@dataclass(frozen=True, slots=True)
class Prepare:
    """Rows to an operand."""

    numerics: Numerics
    source: str
    result: str

    def __call__(self, values: Values, run: Run) -> None:
        values[self.result] = self.numerics.prepare(values[self.source])


@dataclass(frozen=True, slots=True)
class Normalise:
    """Rows to an operand of matrices that hold the norm's weights."""

    numerics: Numerics
    source: str
    result: str
    epsilon: np.float32

    def __call__(self, values: Values, run: Run) -> None:
        values[self.result] = self.numerics.normalise(values[self.source], self.epsilon)


@dataclass(frozen=True, slots=True)
class ApplyNorm:
    """Rows to normalised rows."""

    numerics: Numerics
    source: str
    result: str
    epsilon: np.float32
    weight: Floats | None

    def __call__(self, values: Values, run: Run) -> None:
        values[self.result] = self.numerics.apply_norm(values[self.source], self.epsilon, self.weight)


@dataclass(frozen=True, slots=True)
class ApplyLayerNorm:
    """Rows to rows without their mean, of deviation 1, times a weight plus a bias."""

    numerics: Numerics
    source: str
    result: str
    epsilon: float
    weight: Floats | None
    bias: Floats | None

    def __call__(self, values: Values, run: Run) -> None:
        rows = values[self.source]
        values[self.result] = self.numerics.apply_layer_norm(rows, self.epsilon, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class ApplyFunction:
    """A function of each element."""

    numerics: Numerics
    function: Function
    source: str
    result: str

    def __call__(self, values: Values, run: Run) -> None:
        values[self.result] = self.numerics.activate(self.function, values[self.source])


@dataclass(frozen=True, slots=True)
class ApplyLinear:
    """Matrices one below the other, and which outputs are whose."""

    linear: Linear
    operand: str
    parts: tuple[tuple[str, slice], ...]

    def __call__(self, values: Values, run: Run) -> None:
        outputs = self.linear(values[self.operand])
        for name, part in self.parts:
            values[name] = outputs[:, part]


@dataclass(frozen=True, slots=True)
class HeadNorm:
    """A norm of each of these heads; `weight` [head_dim]."""

    heads: slice
    epsilon: np.float32
    weight: Floats | None


@dataclass(frozen=True, slots=True)
class ApplyAttention:
    """Queries, keys and values by one matrix, norms of heads, rotations of the first `rotated` heads, attention."""

    numerics: Numerics
    node: Attend
    linear: Linear
    operand: str
    norms: tuple[HeadNorm, ...]
    rotated: int
    sinks: Floats | None

    def __call__(self, values: Values, run: Run) -> None:
        outputs = self.linear(values[self.operand])
        heads = outputs.reshape(len(outputs), -1, self.node.head_dim)
        for norm in self.norms:
            heads[:, norm.heads] = self.numerics.apply_norm(heads[:, norm.heads], norm.epsilon, norm.weight)
        turned = heads[:, : self.rotated]
        turned[:] = rotate(turned, run.rotations)
        attended = [self._attend(heads[each.rows], each) for each in run.sequences]
        values[self.node.name] = attended[0] if len(attended) == 1 else np.concatenate(attended)

    def _attend(self, heads: Floats, sequence: SequenceRows) -> Floats:
        sight = sequence.sights[self.node.window]
        return self.numerics.attend(self.node, heads, sequence.cached, sight, self.sinks)


@dataclass(frozen=True, slots=True)
class ApplyGate:
    numerics: Numerics
    activation: Activation
    gate: str
    up: str
    result: str

    def __call__(self, values: Values, run: Run) -> None:
        values[self.result] = self.numerics.gate(self.activation, values[self.gate], values[self.up])


@dataclass(frozen=True, slots=True)
class AddRows:
    left: str
    right: str
    result: str

    def __call__(self, values: Values, run: Run) -> None:
        values[self.result] = values[self.left] + values[self.right]


@dataclass(frozen=True, slots=True)
class CapRows:
    numerics: Numerics
    source: str
    result: str
    cap: float

    def __call__(self, values: Values, run: Run) -> None:
        values[self.result] = self.numerics.cap(values[self.source], self.cap)


@dataclass(frozen=True, slots=True)
class ExpertWeights:
    """Gate above up, as many outputs each, and what leads back."""

    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class ApplyExperts:
    """Each token's `active` likeliest experts (the lower index on a tie), and no others, summed by index."""

    numerics: Numerics
    operand: str
    result: str
    router: Linear
    experts: tuple[ExpertWeights, ...]
    active: int
    renormalise: bool
    activation: Activation

    def __call__(self, values: Values, run: Run) -> None:
        rows = values[self.operand]
        scores = self.router(rows)
        chosen = np.zeros(scores.shape, np.bool_)
        ranked = np.argsort(-scores, axis=1, kind="stable")
        np.put_along_axis(chosen, ranked[:, : self.active], True, axis=1)
        weights = self.numerics.weigh_experts(scores, chosen, renormalise=self.renormalise)
        total: Floats | None = None
        for index in np.flatnonzero(chosen.any(axis=0)):
            tokens = np.flatnonzero(chosen[:, index])
            outputs = self._apply_expert(self.experts[index], self.numerics.take_rows(rows, tokens))
            outputs *= weights[tokens, index, None]
            if total is None:
                total = np.zeros((len(scores), outputs.shape[1]), np.float32)
            total[tokens] += outputs
        values[self.result] = total

    def _apply_expert(self, expert: ExpertWeights, rows: Any) -> Floats:
        outputs = expert.gate_up(rows)
        gate, up = np.split(outputs, 2, axis=1)
        gated = self.numerics.gate(self.activation, gate, up)
        return expert.down(self.numerics.prepare(gated))
