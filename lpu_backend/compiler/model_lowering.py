"""From a model graph to the vector programs of its parts: each kind of layer once, and the head.

Layers are of one kind if their nodes differ in layer numbers and tensor names alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.planes import quantise_rows
from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.graph_lowering import GraphLowering
from lpu_backend.compiler.layouts import HeadLayout, Layout, lay_out_dense, lay_out_heads
from lpu_backend.compiler.lowering import Lowered
from lpu_backend.compiler.matrices import Fetch, QuantisedMatrix
from lpu_backend.graph.folding import Folding, Select, Tensors, fold_matrix
from lpu_backend.graph.nodes import Attend, ModelGraph, Node, RmsNorm


@dataclass(frozen=True)
class LayerKind:
    """Layers with the same operations; `nodes` are those of the first."""

    layers: tuple[int, ...]
    nodes: tuple[Node, ...]


class ModelLowering:
    """Lowers the parts of one model for groups of `chips`. Without tensors constants have no data."""

    def __init__(
        self, graph: ModelGraph, tensors: Tensors | None = None, *, chips: int = 1, chip: ChipSpec = GROQCHIP1
    ) -> None:
        self.graph, self.chips, self.chip = graph, chips, chip
        self._tensors = tensors if tensors is not None else {}

    @cached_property
    def kinds(self) -> tuple[LayerKind, ...]:
        layers: dict[tuple[Node, ...], list[int]] = {}
        source = self.graph.embed.name
        for index, nodes in enumerate(self.graph.layers):
            renamed = tuple(_rename(node, index, source) for node in nodes)
            layers.setdefault(renamed, []).append(index)
            source = nodes[-1].name
        return tuple(LayerKind(tuple(indices), self.graph.layers[indices[0]]) for indices in layers.values())

    @cached_property
    def hidden_layout(self) -> Layout:
        return lay_out_dense(self.graph.hidden, self.chips, self.chip.lanes)

    @cached_property
    def logits_layout(self) -> Layout:
        return lay_out_dense(self.graph.vocabulary, self.chips, self.chip.lanes)

    def lay_out_heads(self, node: Attend) -> HeadLayout:
        lanes, tile = self.chip.lanes, self.chip.lanes_per_tile
        return lay_out_heads(node.query_heads, node.kv_heads, node.head_dim, self.chips, lanes, tile)

    def make_shape(self, position: int, tokens: int, blocks: int | None = None) -> StepShape:
        """A step of `tokens` tokens from `position` on, over as many blocks of the cache as it needs or `blocks`."""
        needed = -(-(position + tokens) // self.chip.lanes)
        capacity = -(-self.graph.context_window // self.chip.lanes)
        return StepShape(tokens, position, blocks or needed, capacity, self.graph.context_window)

    def lower_layer(self, kind: LayerKind, shape: StepShape) -> Lowered:
        layers = [self.graph.layers[index] for index in kind.layers]
        return self._lower(f"layer {kind.layers[0]}", layers, shape)

    def lower_head(self, shape: StepShape) -> Lowered:
        """Logits of the tokens of `shape`."""
        return self._lower("head", [self.graph.head], shape)

    def _lower(self, name: str, layers: Sequence[Sequence[Node]], shape: StepShape) -> Lowered:
        nodes = layers[0]
        lowering = GraphLowering(name, nodes, Weights(layers, self._tensors), shape, self.chips, self.chip)
        lowering.hold_hidden(nodes[0].inputs[0], self.graph.hidden)
        lowering.lower()
        return lowering.finish(nodes[-1].name)


class Weights:
    """The constants of several layers of a kind."""

    def __init__(self, layers: Sequence[Sequence[Node]], tensors: Tensors) -> None:
        self._layers, self._tensors = layers, tensors
        self._places = {node.name: place for place, node in enumerate(layers[0])}
        self._foldings = [Folding(nodes) for nodes in layers]

    def matrix(self, name: str, select: Select) -> Fetch:
        @cache
        def fetch(layer: int) -> QuantisedMatrix:
            matrix, fold = select(self._layers[layer][self._places[name]], self._foldings[layer])
            weight, bias = fold_matrix(matrix, fold, self._tensors)
            codes, scales = quantise_rows(weight)
            return QuantisedMatrix(codes.astype(np.int8), scales, bias)

        return fetch

    def vector(self, name: str) -> Callable[[int], NDArray[np.float32]]:
        def fetch(layer: int) -> NDArray[np.float32]:
            node = self._layers[layer][self._places[name]]
            if isinstance(node, Attend) and node.sinks is not None:
                return self._tensors[node.sinks]
            assert isinstance(node, RmsNorm)  # noqa: S101
            weight = self._foldings[layer].fold_norm(node, self._tensors)
            assert weight is not None  # noqa: S101  asked only of those that have one
            return weight

        return fetch

    def tensor(self, name: str, find: Callable[[Node], str]) -> Callable[[int], NDArray[np.float32]]:
        return lambda layer: self._tensors[find(self._layers[layer][self._places[name]])]


def _rename(node: Node, layer: int, source: str) -> Node:
    """The node as it would be in a layer without a number, that reads `source`."""
    mark = f"layers.{layer}."

    def strip(value: object) -> object:
        if isinstance(value, str):
            return "source" if value == source else value.replace(mark, "layers.").replace(f".h.{layer}.", ".h.")
        if isinstance(value, tuple):
            return tuple(strip(part) for part in value)
        if hasattr(value, "__dataclass_fields__"):
            return replace(value, **{name: strip(getattr(value, name)) for name in value.__dataclass_fields__})  # type: ignore[type-var]
        return value

    stripped = strip(node)
    if isinstance(stripped, Attend):
        stripped = replace(stripped, layer=0)
    return stripped  # type: ignore[return-value]
