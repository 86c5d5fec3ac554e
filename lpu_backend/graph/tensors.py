"""The tensors that a graph reads, and small random ones to stand for them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lpu_backend.graph.function_nodes import LayerNorm
from lpu_backend.graph.nodes import Attend, Experts, Linear, Matrix, ModelGraph, Node, RmsNorm

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, NDArray[np.float32]]

_WEIGHT_DEVIATION = 0.15
_NORM_DEVIATION = 0.15


def list_expected_shapes(graph: ModelGraph) -> Shapes:
    """Name and shape of every tensor, as checkpoints store them: matrices [outputs, inputs]."""
    shapes: Shapes = {graph.embed.table: (graph.vocabulary, graph.embed.channels)}
    for node in list_nodes(graph):
        if isinstance(node, RmsNorm) and node.weight is not None:
            shapes[node.weight] = (node.width,)
        if isinstance(node, Attend) and node.sinks is not None:
            shapes[node.sinks] = (node.query_heads,)
        if isinstance(node, LayerNorm):
            shapes.update({name: (node.channels,) for name in (node.weight, node.bias) if name is not None})
        for matrix in list_matrices(node):
            shapes |= _list_shapes(matrix, shapes)
    return shapes


def _list_shapes(matrix: Matrix, known: Shapes) -> Shapes:
    """Of the weight and the bias, if it has one."""
    if (stacked := matrix.stacked) is not None:
        outputs = stacked.step * matrix.outputs
        weight, bias = (stacked.count, matrix.inputs, outputs), (stacked.count, outputs)
        return {matrix.weight: weight} | ({} if matrix.bias is None else {matrix.bias: bias})
    used = matrix.rows[1] * matrix.groups if matrix.rows else matrix.outputs
    rows = max(used, *known.get(matrix.weight, (0,))[:1])
    return {matrix.weight: (rows, matrix.inputs)} | ({} if matrix.bias is None else {matrix.bias: (rows,)})


def make_random_tensors(graph: ModelGraph, seed: int) -> Tensors:
    """Normally distributed float32 weights of every tensor of the graph; norms around what leaves a value as it is."""
    random = np.random.default_rng(seed)
    centres = {node.weight: 1.0 - node.offset for node in list_nodes(graph) if isinstance(node, RmsNorm)}
    centres.update({node.weight: 1.0 for node in list_nodes(graph) if isinstance(node, LayerNorm)})
    tensors: Tensors = {}
    for name, shape in list_expected_shapes(graph).items():
        drawn = random.standard_normal(shape, dtype=np.float32)
        deviation = _NORM_DEVIATION if name in centres else _WEIGHT_DEVIATION
        tensors[name] = drawn * np.float32(deviation) + np.float32(centres.get(name, 0.0))
    return tensors


def list_nodes(graph: ModelGraph) -> Iterator[Node]:
    """All nodes in their order."""
    yield graph.embed
    for layer in graph.layers:
        yield from layer
    yield from graph.head


def list_matrices(node: Node) -> tuple[Matrix, ...]:
    """The matrices of a node: none, one, or a router and its experts'."""
    if isinstance(node, Linear):
        return (node.matrix,)
    if isinstance(node, Experts):
        return (node.router, *(each for expert in node.experts for each in (expert.gate, expert.up, expert.down)))
    return ()
