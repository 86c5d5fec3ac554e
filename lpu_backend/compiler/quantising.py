"""The quantise pass: how every matrix of a part is represented. docs/numerics.md has the bits.

Weights are int8 with a scale an output; what a matrix is multiplied with before (a norm's weight, the attention's
scale, half a gate) is folded into it first. Activations are two int8 planes with a scale a row, keys and values one.
The numbers themselves are made where a program is written out, from the checkpoint; here it is decided what they are.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lpu_backend.graph.folding import (
    Fold,
    Folding,
    select_expert,
    select_linear,
    select_router,
)
from lpu_backend.graph.nodes import Experts, Linear, Matrix, Node

WEIGHT_BITS = 8


class MatrixForm(NamedTuple):
    """A matrix [outputs, inputs] as it is stored, and what is folded into it: a factor, the weight of a norm."""

    tensor: str
    outputs: int
    inputs: int
    bits: int
    factor: float
    norm: str | None
    has_bias: bool

    def describe(self) -> str:
        folded = [f"times {self.factor:.6g}"] if self.factor != 1.0 else []
        folded += [f"columns times {self.norm}"] if self.norm else []
        text = f"{self.tensor} [{self.outputs} x {self.inputs}] int{self.bits}, a scale an output"
        return "; ".join([text, *folded])


def quantise_matrices(nodes: Sequence[Node]) -> tuple[MatrixForm, ...]:
    """The form of every matrix of a layer or of the head, in the order of the nodes."""
    folding = Folding(nodes)
    return tuple(_decide(matrix, fold) for node in nodes for matrix, fold in _list_folded(node, folding))


def _list_folded(node: Node, folding: Folding) -> Iterator[tuple[Matrix, Fold]]:
    if isinstance(node, Linear):
        yield select_linear(node, folding)
    elif isinstance(node, Experts):
        yield select_router(node, folding)
        for index in range(len(node.experts)):
            yield select_expert(index, "gate")(node, folding)
            yield select_expert(index, "up")(node, folding)
            yield select_expert(index, "down")(node, folding)


def _decide(matrix: Matrix, fold: Fold) -> MatrixForm:
    norm = fold.norm.weight if fold.norm is not None else None
    return MatrixForm(
        matrix.weight, matrix.outputs, matrix.inputs, WEIGHT_BITS, fold.factor, norm, matrix.bias is not None
    )
