"""The graph of a function, run with whole tensors in the chip's numerics: the same bits as its compiled program.

docs/numerics.md has every operation. What a value is does not depend on how many tokens there are beside it, but where
attention or a mean looks at them.
"""

from collections.abc import Mapping
from functools import singledispatchmethod

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import exp, rsqrt
from lpu_backend.arithmetic.planes import Planes, PlaneWeights, split_planes, sum_squares
from lpu_backend.arithmetic.whole_sums import find_moments, sum_counts
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.graph.folding import Folding, Tensors, fold_matrix
from lpu_backend.graph.function_graph import FunctionGraph, Input
from lpu_backend.graph.function_nodes import (
    Activate,
    Affine,
    Constant,
    LayerNorm,
    MeanTokens,
    Multiply,
    SelfAttend,
    Softmax,
    Subtract,
    TakeToken,
)
from lpu_backend.graph.nodes import Add, Embed, Linear, Node, RmsNorm
from lpu_backend.runtime.element_functions import apply_function
from lpu_backend.runtime.self_attention import SHARE_STEPS, attend_within, make_mask

Floats = NDArray[np.float32]


class FunctionInputError(LpuBackendError, ValueError):
    """An input that the graph does not take; the message names it."""


class FunctionModel:
    """Read-only once made: the weights are folded and quantised here."""

    def __init__(self, graph: FunctionGraph, tensors: Tensors) -> None:
        self.graph, self._tensors = graph, tensors
        self._foldings = {node.name: folding for folding, part in self._list_foldings() for node in part}
        self._matrices = {node.name: self._make_matrix(node) for node in graph.list_nodes() if isinstance(node, Linear)}

    def run(self, inputs: Mapping[str, NDArray[np.float32] | NDArray[np.int64]]) -> dict[str, Floats]:
        """From inputs by name, ids [tokens] or rows [tokens, channels], to outputs by name, [tokens, channels].

        Raises FunctionInputError.
        """
        return _Run(self, {each.name: _check(each, inputs, self.graph.tokens) for each in self.graph.inputs}).run()

    def apply_linear(self, node: Linear, values: Mapping[str, Floats]) -> Floats:
        weights, bias = self._matrices[node.name]
        norm = self._foldings[node.name].norm_before(node)
        planes = split_planes(values[node.inputs[0] if norm is None else norm.inputs[0]])
        if norm is not None:
            planes = Planes(planes.planes, planes.scale * find_root(planes, norm.epsilon))
        result = weights.multiply(planes)
        return result if bias is None else result + bias

    def is_folded(self, norm: RmsNorm) -> bool:
        return self._foldings[norm.name].is_folded(norm)

    def get_tensor(self, name: str) -> Floats:
        return self._tensors[name]

    def fold_norm(self, norm: RmsNorm) -> Floats | None:
        """The weight of a norm that is made."""
        return self._foldings[norm.name].fold_norm(norm, self._tensors)

    def _list_foldings(self) -> list[tuple[Folding, tuple[Node, ...]]]:
        return [(Folding(part), part) for part in self.graph.parts]

    def _make_matrix(self, node: Linear) -> tuple[PlaneWeights, Floats | None]:
        weight, bias = fold_matrix(node.matrix, self._foldings[node.name].fold_of(node), self._tensors)
        return PlaneWeights(weight), bias


class _Run:
    """One pass over the nodes; `values` has what each gave."""

    def __init__(self, model: FunctionModel, inputs: Mapping[str, NDArray[np.float32]]) -> None:
        self._model = model
        self.values: dict[str, Floats] = dict(inputs)

    def run(self) -> dict[str, Floats]:
        for node in self._model.graph.list_nodes():
            if not (isinstance(node, RmsNorm) and self._model.is_folded(node)):
                self.values[node.name] = self.apply(node)
        return {name: self.values[name] for name in self._model.graph.outputs}

    @singledispatchmethod
    def apply(self, node: Node) -> Floats:
        raise TypeError(f"{node.name}: {type(node).__name__} is no node of a function")

    @apply.register
    def _embed(self, node: Embed) -> Floats:
        ids = self.values[node.inputs[0]].astype(np.int64)
        rows: Floats = self._model.get_tensor(node.table)[ids]
        return rows if node.factor == 1.0 else rows * np.float32(node.factor)

    @apply.register
    def _constant(self, node: Constant) -> Floats:
        return self._model.get_tensor(node.tensor).reshape(-1, node.channels)[slice(*node.rows)]

    @apply.register
    def _linear(self, node: Linear) -> Floats:
        return self._model.apply_linear(node, self.values)

    @apply.register
    def _rms_norm(self, node: RmsNorm) -> Floats:
        rows = self._read(node)
        normalised = rows * find_root(split_planes(rows), node.epsilon)
        weight = self._model.fold_norm(node)
        return normalised if weight is None else normalised * weight

    @apply.register
    def _layer_norm(self, node: LayerNorm) -> Floats:
        rows = self._read(node)
        mean, root = find_moments(split_planes(rows), node.epsilon)
        normalised: Floats = (rows - mean) * root
        if node.weight is not None:
            normalised *= self._model.get_tensor(node.weight)
        if node.bias is not None:
            normalised += self._model.get_tensor(node.bias)
        return normalised

    @apply.register
    def _activate(self, node: Activate) -> Floats:
        return apply_function(node.function, self._read(node))

    @apply.register
    def _affine(self, node: Affine) -> Floats:
        rows = self._read(node)
        if node.factor != 1.0 or node.offset == 0.0:
            rows = rows * np.float32(node.factor)
        return rows if node.offset == 0.0 else rows + np.float32(node.offset)

    @apply.register
    def _add(self, node: Add) -> Floats:
        return self.values[node.inputs[0]] + self.values[node.inputs[1]]

    @apply.register
    def _multiply(self, node: Multiply) -> Floats:
        return self.values[node.inputs[0]] * self.values[node.inputs[1]]

    @apply.register
    def _subtract(self, node: Subtract) -> Floats:
        return self.values[node.inputs[0]] - self.values[node.inputs[1]]

    @apply.register
    def _softmax(self, node: Softmax) -> Floats:
        scores = self._read(node)
        coarse = np.rint(scores.max(axis=1, keepdims=True) * np.float32(0.25)).clip(-128.0, 127.0)
        shares = exp(scores - coarse.astype(np.float32) * np.float32(4.0))
        root = rsqrt(sum_counts(np.rint(shares * SHARE_STEPS).astype(np.int32)))
        result: Floats = shares * (root * root * SHARE_STEPS)
        return result

    @apply.register
    def _self_attend(self, node: SelfAttend) -> Floats:
        query, key, value = (self.values[name] for name in node.inputs)
        given = None if node.mask is None else self._model.get_tensor(node.mask)
        return attend_within(node, query, key, value, make_mask(node, len(query), given))

    @apply.register
    def _take_token(self, node: TakeToken) -> Floats:
        return self._read(node)[node.token : node.token + 1]

    @apply.register
    def _mean_tokens(self, node: MeanTokens) -> Floats:
        rows = self._read(node)
        total = rows[0]
        for row in rows[1:]:
            total = total + row
        mean: Floats = (total * np.float32(1.0 / len(rows)))[None]
        return mean

    def _read(self, node: Node) -> Floats:
        return self.values[node.inputs[0]]


def find_root(planes: Planes, epsilon: float) -> Floats:
    """RSqrt of the mean square + epsilon, [tokens, 1]."""
    squares = sum_squares(planes) * planes.scale * planes.scale
    return rsqrt(squares * np.float32(1.0 / planes.planes.shape[-1]) + np.float32(epsilon))


def _check(each: Input, inputs: Mapping[str, NDArray[np.float32] | NDArray[np.int64]], tokens: int) -> Floats:
    given = inputs.get(each.name)
    shape = (tokens,) if each.channels is None else (tokens, each.channels)
    if given is None or given.shape != shape:
        raise FunctionInputError(f"{each.name}: {None if given is None else given.shape}, expected {shape}")
    if each.vocabulary is not None and not ((given >= 0) & (given < each.vocabulary)).all():
        raise FunctionInputError(f"{each.name}: ids must be from 0 to {each.vocabulary - 1}")
    return given.astype(np.float32) if each.channels is not None else given  # type: ignore[return-value]
