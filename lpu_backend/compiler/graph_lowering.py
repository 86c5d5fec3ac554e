"""The lower pass for every node that a graph can have: those of decoders, and those of programs without a cache."""

from collections.abc import Callable, Mapping, Sequence
from functools import singledispatchmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.activations import IS_ZERO_AT_ZERO, activate
from lpu_backend.compiler.agreeing import FP32, INT32, Pass, walk
from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.block_layout import BlockLayout, lay_out_blocks
from lpu_backend.compiler.building import MapBuilder, number
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.layouts import Layout, lay_out_dense
from lpu_backend.compiler.lowering import HIDDEN, HIDDEN_SHARD, Held, Lowering, WeightSource
from lpu_backend.compiler.matrices import spread_channels
from lpu_backend.compiler.moments import find_moments
from lpu_backend.compiler.self_attending import SelfAttention
from lpu_backend.compiler.softmax import apply_softmax
from lpu_backend.compiler.vector_program import Argument, Value
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
from lpu_backend.graph.nodes import Add, Embed, Linear, Node
from lpu_backend.isa.instructions import BinaryOp

Floats = NDArray[np.float32]
_TOKENS_A_MAP = 4
"""Each is an operand."""
Read = Callable[[MapBuilder, Pass], Argument]


class GraphLowering(Lowering):
    """As `Lowering`. `tokens_of` has how many rows values have, where it is not the step's tokens; `seam` is the node
    whose result passes to the next part as the hidden rows."""

    def __init__(
        self,
        name: str,
        nodes: Sequence[Node],
        weights: WeightSource,
        shape: StepShape,
        chips: int,
        chip: ChipSpec,
        *,
        tokens_of: Mapping[str, int] | None = None,
        seam: str | None = None,
    ) -> None:
        self._tokens_of = tokens_of or {}
        self._seam = seam
        self._blocks: dict[str, BlockLayout] = {}
        super().__init__(name, nodes, weights, shape, chips, chip)

    def hold_input(self, name: str, channels: int) -> None:
        """Rows that the host gives."""
        layout = lay_out_dense(channels, self._chips, self._chip.lanes)
        rows = layout.rows * self._shape.tokens
        self.held[name] = Held(layout, self.builder.hold(Value(name, FP32, rows, "input", "model")))

    def lower(self) -> None:
        """All nodes, in order; where a seam is, its rows come to lie as the hidden rows."""
        for node in self._nodes:
            self._tokens = self._tokens_of.get(node.name, self._shape.tokens)
            self.lower_node(node)
        if self._seam is not None:
            self._deliver(self._seam)

    @singledispatchmethod
    def lower_node(self, node: Node) -> None:
        super().lower_node(node)

    @lower_node.register
    def _embed(self, node: Embed) -> None:
        """Looked up by the host, as tokens are."""
        self.hold_input(node.name, node.channels)

    @lower_node.register
    def _constant(self, node: Constant) -> None:
        """Made where it is read, as that lies."""

    @lower_node.register
    def _layer_norm(self, node: LayerNorm) -> None:
        source, tokens = self.held[node.inputs[0]], self._tokens
        layout = source.layout
        planes = self._split(node.inputs[0])
        used = layout.used_rows
        moments = find_moments(self.builder, node.name, planes, tokens, used, node.channels, node.epsilon)
        weight, bias = self._spread_norm(node, "weight", layout), self._spread_norm(node, "bias", layout)
        result = self._declare_result(node, layout)
        for part in walk(tokens, layout.rows):
            m = MapBuilder(self.builder, node.name, part.places)
            value = m.read(source.shard, *part.at(1, tokens))
            centred = m.op("Sub", FP32, value, m.read(moments.mean, *part.at(1, 0)))
            scaled = m.op("Mul", FP32, centred, m.read(moments.root, *part.at(1, 0)))
            if weight is not None:
                scaled = m.op("Mul", FP32, scaled, m.read(weight, *part.at(0, 1)))
            if bias is not None:
                scaled = m.op("Add", FP32, scaled, m.read(bias, *part.at(0, 1)))
            m.write(scaled, result, *part.at(1, tokens))
            m.finish()
        self.held[node.name] = Held(layout, result)

    @lower_node.register
    def _activate(self, node: Activate) -> None:
        keeps_zero = node.function in IS_ZERO_AT_ZERO
        self._apply_elementwise(node, lambda m, x: activate(m, node.function, x[0]), keeps_zero=keeps_zero)

    @lower_node.register
    def _affine(self, node: Affine) -> None:
        def apply(m: MapBuilder, x: Sequence[Argument]) -> Any:
            scaled = x[0]
            if node.factor != 1.0 or node.offset == 0.0:
                scaled = m.op("Mul", FP32, scaled, number(node.factor))
            return scaled if node.offset == 0.0 else m.op("Add", FP32, scaled, number(node.offset))

        self._apply_elementwise(node, apply, keeps_zero=node.offset == 0.0)

    @lower_node.register
    def _multiply(self, node: Multiply) -> None:
        self._combine(node, "Mul")

    @lower_node.register
    def _subtract(self, node: Subtract) -> None:
        self._combine(node, "Sub")

    @lower_node.register
    def _add(self, node: Add) -> None:
        left = self.held.get(node.inputs[0])
        in_place = left is not None and left.shard == HIDDEN_SHARD and self._is_last(node)
        if in_place and not any(self._is_constant(name) for name in node.inputs):
            super().lower_node(node)
        else:
            self._combine(node, "Add")

    @lower_node.register
    def _softmax(self, node: Softmax) -> None:
        source = self.held[node.inputs[0]]
        result = self._declare_result(node, source.layout)
        values = source.shard, self._gather(node.inputs[0])
        apply_softmax(self.builder, node.name, values, source.layout, self._tokens, result)
        self.held[node.name] = Held(source.layout, result)

    @lower_node.register
    def _self_attend(self, node: SelfAttend) -> None:
        layout = self._blocks[node.name]
        mask = None if node.mask is None else self._weights.tensor(node.name, _find_mask)
        attention = SelfAttention(self.builder, node, layout, mask)
        result = attention.attend(*(self.held[name].shard for name in node.inputs))
        self.held[node.name] = Held(layout.heads.query_layout(), result)

    @lower_node.register
    def _take_token(self, node: TakeToken) -> None:
        """A row of the value is a token's already; rows of other tokens lie between."""
        tokens = self._tokens_of.get(node.inputs[0], self._shape.tokens)
        source = self.held[node.inputs[0]]
        result = self._declare_result(node, source.layout)
        m = MapBuilder(self.builder, node.name, source.layout.rows)
        m.write(m.op("Copy", FP32, m.read(source.shard, node.token, tokens)), result)
        m.finish()
        self.held[node.name] = Held(source.layout, result)

    @lower_node.register
    def _mean_tokens(self, node: MeanTokens) -> None:
        tokens = self._tokens_of.get(node.inputs[0], self._shape.tokens)
        source = self.held[node.inputs[0]]
        rows, at_once = source.layout.rows, _TOKENS_A_MAP
        result = self._declare_result(node, source.layout)
        for first in range(0, tokens, at_once):
            m = MapBuilder(self.builder, f"{node.name} {first}", rows)
            total: Any = m.read(result) if first else None
            for token in range(first, min(first + at_once, tokens)):
                row = m.read(source.shard, token, tokens)
                total = row if total is None else m.op("Add", FP32, total, row)
            if first + at_once >= tokens:
                total = m.op("Mul", FP32, total, number(1.0 / tokens))
            m.write(total, result)
            m.finish()
        self.held[node.name] = Held(source.layout, result)

    # What several nodes share.

    def _combine(self, node: Add | Multiply | Subtract, op: BinaryOp) -> None:
        self._apply_elementwise(node, lambda m, x: m.op(op, FP32, *x))

    def _apply_elementwise(
        self,
        node: Activate | Affine | Add | Multiply | Subtract,
        apply: Callable[[MapBuilder, Sequence[Argument]], Any],
        *,
        keeps_zero: bool = True,
    ) -> None:
        """Lanes without a channel stay zero, as what reads the value counts on."""
        layout = self._find_layout(node)
        reads = [self._make_read(name, layout) for name in node.inputs]
        mask = None if keeps_zero else self._mask_channels(node.name, layout)
        result = self._declare_result(node, layout)
        for part in walk(self._tokens, layout.rows):
            m = MapBuilder(self.builder, node.name, part.places)
            value = apply(m, [read(m, part) for read in reads])
            if mask is not None:
                value = m.op("And", INT32, value, m.read(mask, *part.at(0, 1)))
            m.write(value, result, *part.at(1, self._tokens))
            m.finish()
        self.held[node.name] = Held(layout, result)

    def _find_layout(self, node: Node) -> Layout:
        layouts = [self.held[name].layout for name in node.inputs if not self._is_constant(name)]
        if any(not np.array_equal(layout.channels, layouts[0].channels) for layout in layouts):
            raise CompileError(
                f"{node.name}: {' and '.join(node.inputs)} lie in other lanes: a value cannot be both heads of "
                "attention and anything else"
            )
        return layouts[0]

    def _is_constant(self, name: str) -> bool:
        return isinstance(self._folding.nodes.get(name), Constant)

    def _is_last(self, node: Node) -> bool:
        """Whether no later node reads what lies in the hidden rows."""
        later = self._nodes[self._nodes.index(node) + 1 :]
        return not any(self._is_hidden(name) for each in later for name in each.inputs)

    def _is_hidden(self, name: str) -> bool:
        return name in self.held and self.held[name].shard == HIDDEN_SHARD

    def _make_read(self, name: str, layout: Layout) -> Read:
        """How a Map reads a value of that layout, or a constant made for it."""
        node, tokens = self._folding.nodes.get(name), self._tokens
        if not isinstance(node, Constant):
            shard = self.held[name].shard
            return lambda m, part: m.read(shard, *part.at(1, tokens))
        fetch = self._weights.tensor(name, _find_constant)

        def data(layer: int) -> Floats:
            rows = fetch(layer).reshape(-1, node.channels)[slice(*node.rows)]
            spread = np.stack([spread_channels(row, layout) for row in rows], axis=2)
            return spread.reshape(spread.shape[0], -1, spread.shape[3])

        count = 1 if node.is_common else tokens
        value = self.builder.constant(self.builder.unique(name), FP32, layout.rows * count, data)
        strides = (0, 1) if node.is_common else (1, tokens)
        return lambda m, part: m.read(value, *part.at(*strides))

    def _mask_channels(self, name: str, layout: Layout) -> str | None:
        """All bits where there is a channel; None where there is one in every lane."""
        if (layout.channels >= 0).all():
            return None
        bits = np.where(layout.channels >= 0, np.int32(-1), np.int32(0))
        return self.builder.constant(f"{name} lanes", INT32, layout.rows, lambda _: bits)

    def _spread_norm(self, node: LayerNorm, what: str, layout: Layout) -> str | None:
        """Weight or bias; a weight of 1 where lanes have no channel, which it keeps at zero."""
        if getattr(node, what) is not None:
            fetch = self._weights.tensor(node.name, lambda each: str(getattr(each, what)))
        elif what == "weight" and (layout.channels < 0).any():
            ones = np.ones(node.channels, np.float32)
            return self.builder.constant(
                f"{node.name} ones", FP32, layout.rows, lambda _: spread_channels(ones, layout)
            )
        else:
            return None
        return self.builder.constant(
            f"{node.name} {what}", FP32, layout.rows, lambda layer: spread_channels(fetch(layer), layout)
        )

    def _declare_result(self, node: Node, layout: Layout) -> str:
        """The hidden rows for what passes to the next part, if nothing reads them any more."""
        if node.name == self._seam and self._is_dense(layout):
            return self._hold_hidden_value(layout)
        return self.builder.local(node.name, FP32, layout.rows * self._tokens)

    def _is_dense(self, layout: Layout) -> bool:
        channels = int(layout.channels.max()) + 1
        return np.array_equal(layout.channels, lay_out_dense(channels, self._chips, self._chip.lanes).channels)

    def _hold_hidden_value(self, layout: Layout) -> str:
        return self.builder.hold(Value(HIDDEN_SHARD, FP32, layout.rows * self._shape.tokens, "input", "model"))

    def _deliver(self, name: str) -> None:
        """To every chip, as `hold_hidden` has it in the next part."""
        held = self.held[name]
        if not self._is_dense(held.layout):
            raise CompileError(f"{name}: heads of attention cannot pass from part to part")
        rows = held.layout.rows * self._shape.tokens
        if held.shard != HIDDEN_SHARD:
            target = self._hold_hidden_value(held.layout)
            m = MapBuilder(self.builder, f"pass on {name}", rows)
            m.write(m.op("Copy", FP32, m.read(held.shard)), target)
            m.finish()
            self.held[name] = held = Held(held.layout, target)
        if self._chips > 1:
            self.builder.hold(Value(HIDDEN, FP32, rows * self._chips, "input", "model"))
            self._gather(name, HIDDEN)

    # Layouts.

    def _choose_layouts(self) -> dict[str, Layout]:
        layouts = super()._choose_layouts()
        for node in self._nodes:
            if isinstance(node, SelfAttend):
                tokens = self._tokens_of.get(node.name, self._shape.tokens)
                blocks = lay_out_blocks(node, tokens, self._chips, self._chip.lanes, self._chip.lanes_per_tile)
                self._blocks[node.name] = blocks
                for place, name in enumerate(node.inputs):
                    layout = blocks.heads.key_layout() if place else blocks.heads.query_layout()
                    self._ask_layout(node, name, layout, layouts)
        return layouts

    def _ask_layout(self, attend: SelfAttend, name: str, layout: Layout, layouts: dict[str, Layout]) -> None:
        """Of the Linears that a query, key or value comes from, through element-wise nodes alone."""
        node = self._folding.nodes.get(name)
        if isinstance(node, Linear):
            layouts[node.name] = layout
        elif isinstance(node, Activate | Affine | Add | Multiply | Subtract):
            for source in node.inputs:
                self._ask_layout(attend, source, layout, layouts)
        elif not isinstance(node, Constant):
            raise CompileError(f"{attend.name}: attention of {name}, which comes from no Linear, cannot be compiled")


def _find_mask(node: Node) -> str:
    assert isinstance(node, SelfAttend)  # noqa: S101  as the part of the same kind has it
    assert node.mask is not None  # noqa: S101
    return node.mask


def _find_constant(node: Node) -> str:
    assert isinstance(node, Constant)  # noqa: S101
    return node.tensor
