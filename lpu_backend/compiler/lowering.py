"""The lower pass: nodes of a layer or of the head become a vector program for one chip group and one step.

Matrices are divided by outputs, so that every sum is whole on one chip and the bits do not depend on how many chips
there are: each chip computes its rows, and where all rows are needed, an AllGather brings them. Rows of a value are
in the order (row, token).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any, Protocol

import numpy as np

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.activations import find_activation
from lpu_backend.compiler.agreeing import FP32, Pass, walk
from lpu_backend.compiler.attending import Attention, StepShape, cap_softly
from lpu_backend.compiler.building import Data, MapBuilder, ProgramBuilder
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.expert_lowering import ExpertLowering
from lpu_backend.compiler.head_norms import HeadNorm
from lpu_backend.compiler.layouts import HeadLayout, Layout, lay_out_dense, lay_out_heads
from lpu_backend.compiler.matrices import Fetch, apply_matrix, spread_channels
from lpu_backend.compiler.scaling import Part, Planes, Roots, find_roots, make_planes
from lpu_backend.compiler.vector_program import AllGather, Argument, PermuteLanes, Rows, Value, VectorProgram
from lpu_backend.graph.folding import Folding, Select, select_linear
from lpu_backend.graph.nodes import Add, Attend, Experts, Gate, Linear, Matrix, Node, RmsNorm, Rotate, SoftCap
from lpu_backend.isa.operands import DataType

HIDDEN, HIDDEN_SHARD = "hidden", "hidden shard"
COSINES, SINES = "cosines", "sines"


@dataclass(frozen=True)
class Lowered:
    """A vector program, the data of its constants, and the value that it ends with and how that lies."""

    program: VectorProgram
    data: Mapping[str, Data]
    result: str
    layout: Layout


@dataclass
class Held:
    """Where a value of the graph is: each chip's rows, and all rows on every chip once they were gathered."""

    layout: Layout
    shard: str
    whole: str | None = None


Operand = tuple[Planes, str, Layout]


class WeightSource(Protocol):
    """What constants are made of, by layer and by a node's name in the first layer of its kind."""

    def matrix(self, name: str, select: Select) -> Fetch:
        """The matrix that `select` finds in the node, folded and quantised."""

    def vector(self, name: str) -> Callable[[int], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        """The weight of a norm, or the sinks of attention."""

    def tensor(self, name: str, find: Callable[[Node], str]) -> Callable[[int], np.ndarray[Any, np.dtype[np.float32]]]:
        """The tensor whose name `find` finds in the node."""


class Lowering:
    """Lowers nodes one by one; `held` has what the graph's values have become."""

    def __init__(
        self,
        name: str,
        nodes: Sequence[Node],
        weights: WeightSource,
        shape: StepShape,
        chips: int,
        chip: ChipSpec,
    ) -> None:
        self.builder = ProgramBuilder(name, chips, chip)
        self._folding = Folding(nodes)
        self._nodes, self._weights, self._shape = nodes, weights, shape
        self._chips, self._chip, self._tokens = chips, chip, shape.tokens
        self.held: dict[str, Held] = {}
        self._planes: dict[str, Planes] = {}
        self._roots: dict[tuple[str, float], Roots] = {}
        self._heads_of: dict[str, HeadLayout] = {}
        self._layouts = self._choose_layouts()

    def hold_hidden(self, name: str, channels: int) -> None:
        """The rows that pass from layer to layer, under the graph's name of them."""
        layout = lay_out_dense(channels, self._chips, self._chip.lanes)
        rows = layout.rows * self._tokens
        shard = self.builder.hold(Value(HIDDEN_SHARD, FP32, rows, "input", "model"))
        whole = shard
        if self._chips > 1:
            whole = self.builder.hold(Value(HIDDEN, FP32, rows * self._chips, "input", "model"))
        self.held[name] = Held(layout, shard, whole)

    def lower(self) -> None:
        """All nodes, in order."""
        for node in self._nodes:
            self.lower_node(node)

    def finish(self, result: str) -> Lowered:
        """The program; `result` is the graph's name of what comes out, unless that is the hidden rows."""
        held = self.held[result]
        return Lowered(self.builder.finish(), self.builder.data, held.shard, held.layout)

    @singledispatchmethod
    def lower_node(self, node: Node) -> None:
        raise CompileError(f"{node.name}: {type(node).__name__} cannot be compiled yet")

    @lower_node.register
    def _rms_norm(self, node: RmsNorm) -> None:
        if self._folding.is_folded(node):
            return
        source = self.held[node.inputs[0]]
        if node.width != node.channels:
            self._normalise_heads(node, source)
            return
        roots = self._find_roots(node.inputs[0], node.epsilon)
        weight = self._spread_weight(node, source.layout)
        result = self.builder.local(node.name, FP32, source.layout.rows * self._tokens)
        for part in walk(self._tokens, source.layout.rows):
            m = MapBuilder(self.builder, node.name, part.places)
            scaled = m.op(
                "Mul", FP32, m.read(source.shard, *part.at(1, self._tokens)), m.read(roots.root, *part.at(1, 0))
            )
            if weight is not None:
                scaled = m.op("Mul", FP32, scaled, m.read(weight, *part.at(0, 1)))
            m.write(scaled, result, *part.at(1, self._tokens))
            m.finish()
        self.held[node.name] = Held(source.layout, result)

    @lower_node.register
    def _linear(self, node: Linear) -> None:
        layout = self._layouts[node.name]
        result = self._apply(node.name, self._operand(node), layout, node.matrix, select_linear)
        self.held[node.name] = Held(layout, result)

    @lower_node.register
    def _experts(self, node: Experts) -> None:
        """Every expert is computed; its weight is 0 where it is not chosen."""

        def fetch(select: Select) -> Fetch:
            return self._weights.matrix(node.name, select)

        experts = ExpertLowering(self.builder, node, fetch, self._tokens, self._chip)
        result, layout = experts.lower(self._operand(node))
        self.held[node.name] = Held(layout, result)

    def _operand(self, node: Linear | Experts) -> Operand:
        """The planes of what a matrix reads, the scale to use, and how it lies."""
        norm = self._folding.nodes.get(node.inputs[0])
        source, planes, scale = node.inputs[0], None, None
        if isinstance(norm, RmsNorm) and self._folding.is_folded(norm):
            source = norm.inputs[0]
            scale = self._find_roots(source, norm.epsilon).scaled
        planes = self._split(source)
        return planes, scale or planes.scale, self.held[source].layout

    def _apply(self, name: str, operand: Operand, layout: Layout, matrix: Matrix, select: Select) -> str:
        fetch = self._weights.matrix(name.partition(" ")[0], select)
        return apply_matrix(self.builder, name, operand, layout, self._tokens, fetch, matrix.bias is not None)

    @lower_node.register
    def _rotate(self, node: Rotate) -> None:
        source = self.held[node.inputs[0]]
        rows, tokens, lanes = source.layout.rows, self._tokens, self._chip.lanes
        slot_lanes = -(-node.head_dim // self._chip.lanes_per_tile) * self._chip.lanes_per_tile
        lane_map = self.builder.constant(
            f"halves of {node.head_dim}",
            DataType.UINT16,
            1,
            lambda _: _swap_halves(node.head_dim, slot_lanes, lanes)[None, None],
            "model",
        )
        swapped = self.builder.local(f"{node.name} swapped", FP32, rows * tokens)
        self.builder.add(
            PermuteLanes(
                f"swap {node.name}", rows * tokens, Rows(source.shard), Rows(swapped), Rows(lane_map, stride=0)
            )
        )
        cosines, sines = (self.builder.hold(Value(name, FP32, tokens, "input", "model")) for name in (COSINES, SINES))
        result = self.builder.local(node.name, FP32, rows * tokens)
        for part in walk(tokens, rows):
            m = MapBuilder(self.builder, node.name, part.places)
            at, table = part.at(1, tokens), part.at(1, 0)
            turned = m.op("Mul", FP32, m.read(source.shard, *at), m.read(cosines, *table))
            other = m.op("Mul", FP32, m.read(swapped, *at), m.read(sines, *table))
            m.write(m.op("Add", FP32, turned, other), result, *at)
            m.finish()
        self.held[node.name] = Held(source.layout, result)

    @lower_node.register
    def _attend(self, node: Attend) -> None:
        layout = self._lay_out_heads(node)
        sinks = None if node.sinks is None else self._weights.vector(node.name)
        attention = Attention(self.builder, node, layout, self._shape, sinks)
        result = attention.attend(*(self.held[name].shard for name in node.inputs))
        self.held[node.name] = Held(layout.query_layout(), result)

    @lower_node.register
    def _gate(self, node: Gate) -> None:
        gate, up = (self.held[name] for name in node.inputs)
        result = self.builder.local(node.name, FP32, gate.layout.rows * self._tokens)
        m = MapBuilder(self.builder, node.name, gate.layout.rows * self._tokens)
        activate = find_activation(node.name, node.activation)
        m.write(activate(m, m.read(gate.shard), m.read(up.shard)), result)
        m.finish()
        self.held[node.name] = Held(gate.layout, result)

    @lower_node.register
    def _add(self, node: Add) -> None:
        left, right = (self.held[name] for name in node.inputs)
        rows = left.layout.rows * self._tokens
        is_hidden = left.shard == HIDDEN_SHARD
        result = left.shard if is_hidden else self.builder.local(node.name, FP32, rows)
        m = MapBuilder(self.builder, node.name, rows)
        m.write(m.op("Add", FP32, m.read(left.shard), m.read(right.shard)), result)
        m.finish()
        self.held[node.name] = Held(left.layout, result)
        if is_hidden:
            self._gather(node.name, HIDDEN)

    @lower_node.register
    def _soft_cap(self, node: SoftCap) -> None:
        source = self.held[node.inputs[0]]
        rows = source.layout.rows * self._tokens
        result = self.builder.local(node.name, FP32, rows)
        m = MapBuilder(self.builder, node.name, rows)
        capped = cap_softly(m, m.read(source.shard), node.cap)
        m.write(capped, result)  # type: ignore[arg-type]  # a step's result
        m.finish()
        self.held[node.name] = Held(source.layout, result)

    # What several nodes share.

    def _split(self, name: str) -> Planes:
        if name not in self._planes:
            held = self.held[name]
            whole, columns, tokens = self._gather(name), len(held.layout.whole), self._tokens

            def read(m: MapBuilder, part: Pass) -> Argument:
                return m.read(whole, *part.at(1, tokens))

            parts: list[Part] = [(part, read) for part in walk(tokens, columns)]
            self._planes[name] = make_planes(self.builder, name, (tokens, columns), parts)
        return self._planes[name]

    def _find_roots(self, name: str, epsilon: float) -> Roots:
        key = name, epsilon
        if key not in self._roots:
            layout = self.held[name].layout
            width = int((layout.channels >= 0).sum())
            planes = self._split(name)
            self._roots[key] = find_roots(self.builder, name, planes, self._tokens, layout.used_rows, width, epsilon)
        return self._roots[key]

    def _gather(self, name: str, into: str | None = None) -> str:
        """All rows on every chip."""
        held = self.held[name]
        if held.whole is None:
            held.whole = held.shard
            if self._chips > 1:
                rows = held.layout.rows * self._tokens
                held.whole = into or self.builder.local(f"{name} whole", FP32, rows * self._chips)
                self.builder.add(AllGather(self.builder.unique(f"gather {name}"), held.shard, held.whole, rows))
        return held.whole

    def _spread_weight(self, node: RmsNorm, layout: Layout) -> str | None:
        if node.weight is None:
            return None
        fetch = self._weights.vector(node.name)

        def data(layer: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            weight = fetch(layer)
            repeated = np.tile(weight, int(layout.channels.max()) // len(weight) + 1)
            return spread_channels(repeated, layout)

        return self.builder.constant(f"{node.name} weight", FP32, layout.rows, data)

    def _normalise_heads(self, node: RmsNorm, source: Held) -> None:
        norm = HeadNorm(self.builder, node, self._heads_of[node.name], source.layout.rows, self._tokens)
        result = norm.apply(source.shard, self._spread_weight(node, source.layout))
        self.held[node.name] = Held(source.layout, result)

    def _lay_out_heads(self, node: Attend) -> HeadLayout:
        return lay_out_heads(
            node.query_heads,
            node.kv_heads,
            node.head_dim,
            self._chips,
            self._chip.lanes,
            self._chip.lanes_per_tile,
        )

    def _choose_layouts(self) -> dict[str, Layout]:
        layouts = {
            node.name: lay_out_dense(node.channels, self._chips, self._chip.lanes)
            for node in self._nodes
            if isinstance(node, Linear)
        }
        for node in self._nodes:
            if isinstance(node, Attend):
                heads = self._lay_out_heads(node)
                for place, name in enumerate(node.inputs):
                    layouts[self._trace_back(name, heads)] = heads.key_layout() if place else heads.query_layout()
        return layouts

    def _trace_back(self, name: str, heads: HeadLayout) -> str:
        """The Linear that a query, key or value comes from; notes how the heads of what lies between are laid out."""
        while not isinstance(node := self._folding.nodes[name], Linear):
            self._heads_of[name] = heads
            name = node.inputs[0]
        return name


def _swap_halves(head_dim: int, slot_lanes: int, lanes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """In each slot lane i comes from lane i + head_dim / 2, modulo the head's channels."""
    lane_map = np.arange(lanes)
    for begin in range(0, lanes // slot_lanes * slot_lanes, slot_lanes):
        lane_map[begin : begin + head_dim] = begin + (np.arange(head_dim) + head_dim // 2) % head_dim
    return lane_map.astype(np.uint16)
