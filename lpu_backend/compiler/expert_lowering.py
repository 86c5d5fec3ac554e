"""Experts of a token: their gates and ups lie one below the other, as one matrix, so that chips divide all of them.

An expert is often too narrow to be divided over a group by itself. Stacked, each chip computes some rows of some
experts; one all-gather brings all rows to all chips, where each expert's rows get a scale of their own, and its down
matrix is divided by outputs as every matrix is. The bits are those of each expert by itself.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.activations import find_activation
from lpu_backend.compiler.agreeing import FP32, Pass, walk
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder
from lpu_backend.compiler.experts import Routing
from lpu_backend.compiler.layouts import Layout, lay_out_dense
from lpu_backend.compiler.matrices import Fetch, QuantisedMatrix, apply_matrix
from lpu_backend.compiler.scaling import Part, Planes, make_planes
from lpu_backend.compiler.vector_program import AllGather, Argument
from lpu_backend.graph.folding import Select, select_expert, select_router
from lpu_backend.graph.nodes import Experts

_ADDED_AT_ONCE = 2
"""Experts whose outputs one Map adds up: two fp32 operands each, and the sum so far."""

Operand = tuple[Planes, str, Layout]


class ExpertLowering:
    """The operations of one Experts node; `fetch` gives the matrices of a layer."""

    def __init__(
        self,
        program: ProgramBuilder,
        node: Experts,
        fetch: Callable[[Select], Fetch],
        tokens: int,
        chip: ChipSpec,
    ) -> None:
        self._program, self._node, self._fetch = program, node, fetch
        self._tokens, self._lanes, self._chips = tokens, chip.lanes, program.chips
        self._count, self._inner = len(node.experts), node.experts[0].up.outputs
        self._expert_rows = -(-self._inner // chip.lanes)

    def lower(self, operand: Operand) -> tuple[str, Layout]:
        """The weighted sum of the chosen experts' outputs, as each chip has it."""
        weights = self._weigh(operand)
        planes = self._split(self._gather(self._gate(operand)))
        layout = lay_out_dense(self._node.channels, self._chips, self._lanes)
        source = lay_out_dense(self._inner, 1, self._lanes)
        outputs = []
        for index in range(self._count):
            down = planes._replace(first=index * self._tokens), planes.scale, source
            fetch = self._fetch(select_expert(index, "down"))
            name = f"{self._node.name} {index} down"
            has_bias = self._node.experts[index].down.bias is not None
            outputs.append(apply_matrix(self._program, name, down, layout, self._tokens, fetch, has_bias))
        return self._add_up(outputs, weights, layout), layout

    def _weigh(self, operand: Operand) -> str:
        """Every chip has all scores."""
        lanes = lay_out_dense(self._count, 1, self._lanes)
        everywhere = Layout(np.repeat(lanes.channels, self._chips, axis=0))
        name, fetch = f"{self._node.name} router", self._fetch(select_router)
        has_bias = self._node.router.bias is not None
        scores = apply_matrix(self._program, name, operand, everywhere, self._tokens, fetch, has_bias)
        routing = Routing(self._program, self._node.name, self._count, self._tokens)
        return routing.weigh(scores, self._node.active, renormalise=self._node.renormalise)

    def _gate(self, operand: Operand) -> tuple[str, Layout]:
        """Each chip's rows of all experts' activation(gate) * up."""
        layout, name, tokens = self._stack(), self._node.name, self._tokens

        def apply(what: Literal["gate", "up"]) -> str:
            has_bias = getattr(self._node.experts[0], what).bias is not None
            return apply_matrix(
                self._program, f"{name} {what}", operand, layout, tokens, self._fetch_all(what), has_bias
            )

        gate, up = apply("gate"), apply("up")
        gated = self._program.local(f"{name} gated", FP32, layout.rows * tokens)
        m = MapBuilder(self._program, f"{name} gated", layout.rows * tokens)
        activate = find_activation(name, self._node.activation)
        m.write(activate(m, m.read(gate), m.read(up)), gated)
        m.finish()
        return gated, layout

    def _stack(self) -> Layout:
        """Expert after expert, each in whole rows: channel c of expert e is number e * inner + c."""
        rows = -(-self._count * self._expert_rows // self._chips)
        row = np.arange(self._chips * rows)[:, None]
        expert, within = row // self._expert_rows, row % self._expert_rows * self._lanes + np.arange(self._lanes)
        channels = np.where((expert < self._count) & (within < self._inner), expert * self._inner + within, -1)
        return Layout(channels.reshape(self._chips, rows, self._lanes))

    def _fetch_all(self, what: Literal["gate", "up"]) -> Fetch:
        fetches = [self._fetch(select_expert(index, what)) for index in range(self._count)]

        def fetch(layer: int) -> QuantisedMatrix:
            matrices = [each(layer) for each in fetches]
            codes = np.concatenate([matrix.codes for matrix in matrices])
            scales = np.concatenate([matrix.scales for matrix in matrices])
            biases = [matrix.bias for matrix in matrices if matrix.bias is not None]
            return QuantisedMatrix(codes, scales, np.concatenate(biases) if biases else None)

        return fetch

    def _gather(self, held: tuple[str, Layout]) -> str:
        source, layout = held
        if self._chips == 1:
            return source
        rows = layout.rows * self._tokens
        whole = self._program.local(f"{self._node.name} gated whole", FP32, rows * self._chips)
        self._program.add(AllGather(self._program.unique(f"gather {self._node.name} gated"), source, whole, rows))
        return whole

    def _split(self, whole: str) -> Planes:
        """A scale for each expert and token: group expert * tokens + token, a column a row of the expert."""
        shape = self._count * self._tokens, self._expert_rows
        return make_planes(self._program, f"{self._node.name} gated", shape, list(self._list_parts(whole)))

    def _list_parts(self, whole: str) -> Iterator[Part]:
        """Over the experts or over an expert's rows, whichever are more."""
        count, rows, tokens = self._count, self._expert_rows, self._tokens
        for token in range(tokens):
            if count >= rows:
                for row in range(rows):
                    part = Pass(count, (token, tokens), (row, 0))
                    yield part, _reader(whole, row * tokens + token, rows * tokens)
            else:
                for expert in range(count):
                    part = Pass(rows, (expert * tokens + token, 0), (0, 1))
                    yield part, _reader(whole, expert * rows * tokens + token, tokens)

    def _add_up(self, outputs: list[str], weights: str, layout: Layout) -> str:
        """In the order of the indices."""
        program, tokens = self._program, self._tokens
        total = program.local(self._node.name, FP32, layout.rows * tokens)
        for first in range(0, self._count, _ADDED_AT_ONCE):
            for part in walk(tokens, layout.rows):
                m = MapBuilder(program, f"{self._node.name} {first} add", part.places)
                at = part.at(1, tokens)
                added: Argument | None = m.read(total, *at) if first else None
                for index in range(first, min(first + _ADDED_AT_ONCE, self._count)):
                    weight = m.read(weights, *part.at(1, 0, index * tokens))
                    weighted = m.op("Mul", FP32, m.read(outputs[index], *at), weight)
                    added = weighted if added is None else m.op("Add", FP32, added, weighted)
                m.write(added, total, *at)  # type: ignore[arg-type]  # a step's result
                m.finish()
        return total


def _reader(value: str, start: int, stride: int) -> Callable[[MapBuilder, Pass], Argument]:
    return lambda m, _: m.read(value, start, stride)
