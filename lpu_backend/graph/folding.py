"""Which constants go into which matrix before it is quantised (docs/numerics.md), and the matrix that results."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lpu_backend.graph.nodes import Attend, Experts, Gate, Linear, Matrix, Node, RmsNorm, Rotate

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]


@dataclass(frozen=True)
class Fold:
    """What a matrix is multiplied by: `factor` all of it, the norm's weight (+ its offset) column by column."""

    factor: float = 1.0
    norm: RmsNorm | None = None


class Folding:
    """Of the nodes of a layer or head: consumers, norms that vanish into matrices, and factors."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            for name in node.inputs:
                self.consumers[name].append(node)

    def is_folded(self, norm: RmsNorm) -> bool:
        """Whether nothing but matrices reads it: then it is never made."""
        readers = self.consumers[norm.name]
        return bool(readers) and all(isinstance(reader, Linear | Experts) for reader in readers)

    def fold_of(self, linear: Linear) -> Fold:
        return Fold(self._factor(linear), self.norm_before(linear))

    def norm_before(self, node: Linear | Experts) -> RmsNorm | None:
        """The norm that vanishes into the matrices that read it."""
        source = self.nodes.get(node.inputs[0])
        return source if isinstance(source, RmsNorm) and self.is_folded(source) else None

    def fold_norm(self, norm: RmsNorm, tensors: Tensors) -> Floats | None:
        """The weight [width] of a norm that is made: offset and, if it is the query's, attention scale in it."""
        factor = np.float32(self._attention_scale(norm.name))
        if norm.weight is None:
            return None if factor == 1.0 else np.full(norm.width, factor)
        weight = add_offset(tensors[norm.weight], norm.offset)
        return weight if factor == 1.0 else weight * factor

    def _factor(self, linear: Linear) -> float:
        for reader in self.consumers[linear.name]:
            if isinstance(reader, Gate) and reader.activation == "silu" and reader.inputs[0] == linear.name:
                return 0.5
        return self._attention_scale(linear.name)

    def _attention_scale(self, name: str) -> float:
        for reader in self.consumers[name]:
            if isinstance(reader, Attend) and reader.inputs[0] == name:
                return reader.scale
            if isinstance(reader, Rotate):
                return self._attention_scale(reader.name)
        return 1.0


Select = Callable[[Node, Folding], tuple[Matrix, Fold]]
"""Finds a matrix in a node, and what is folded into it."""


def select_linear(node: Node, folding: Folding) -> tuple[Matrix, Fold]:
    assert isinstance(node, Linear)  # noqa: S101  as the layer of the same kind has it
    return node.matrix, folding.fold_of(node)


def select_router(node: Node, folding: Folding) -> tuple[Matrix, Fold]:
    assert isinstance(node, Experts)  # noqa: S101
    return node.router, Fold(norm=folding.norm_before(node))


def select_expert(index: int, name: Literal["gate", "up", "down"]) -> Select:
    """A matrix of one expert; the gate's is halved for silu."""

    def select(node: Node, folding: Folding) -> tuple[Matrix, Fold]:
        assert isinstance(node, Experts)  # noqa: S101
        matrix: Matrix = getattr(node.experts[index], name)
        if name == "down":
            return matrix, Fold()
        is_halved = name == "gate" and node.activation == "silu"
        return matrix, Fold(0.5 if is_halved else 1.0, folding.norm_before(node))

    return select


def fold_matrix(matrix: Matrix, fold: Fold, tensors: Tensors) -> tuple[Floats, Floats | None]:
    """The matrix [outputs, inputs] and bias [outputs] with the fold's constants in them, fp32."""
    weight, bias = _take_matrix(matrix, tensors)
    if fold.factor != 1.0:
        weight = weight * np.float32(fold.factor)
        bias = None if bias is None else bias * np.float32(fold.factor)
    if fold.norm is not None and fold.norm.weight is not None:
        weight = weight * add_offset(tensors[fold.norm.weight], fold.norm.offset)
    return weight, bias


def _take_matrix(matrix: Matrix, tensors: Tensors) -> tuple[Floats, Floats | None]:
    """The part of the tensors that is this matrix, [outputs, inputs], and its bias."""
    weight, bias = tensors[matrix.weight], None if matrix.bias is None else tensors[matrix.bias]
    if (stacked := matrix.stacked) is not None:
        outputs = slice(stacked.first, None, stacked.step)
        return weight[stacked.index, :, outputs].T, None if bias is None else bias[stacked.index, outputs]
    return _take_rows(matrix, weight), None if bias is None else _take_rows(matrix, bias)


def _take_rows(matrix: Matrix, tensor: Floats) -> Floats:
    """The rows of a weight or bias that the matrix means."""
    if matrix.rows is None:
        return tensor
    by_group = tensor.reshape(matrix.groups, -1, *tensor.shape[1:])[:, slice(*matrix.rows)]
    return by_group.reshape(-1, *tensor.shape[1:])


def add_offset(weight: Floats, offset: float) -> Floats:
    return weight + np.float32(offset) if offset else weight
