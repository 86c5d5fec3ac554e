"""From the graph of a function to the vector programs of its parts, each kind of part once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.building import Data
from lpu_backend.compiler.graph_lowering import GraphLowering
from lpu_backend.compiler.lowering import Held
from lpu_backend.compiler.model_lowering import LayerKind, Weights
from lpu_backend.compiler.vector_program import VectorProgram
from lpu_backend.graph.folding import Tensors
from lpu_backend.graph.function_graph import FunctionGraph
from lpu_backend.graph.nodes import Node

_NUMBER = re.compile(r"\b(layers?\.)\d+\.")


@dataclass(frozen=True)
class LoweredPart:
    """A vector program, the data of its constants, and where the part's values are (`shard` of `layout`)."""

    program: VectorProgram
    data: Mapping[str, Data]
    held: Mapping[str, Held]


class FunctionLowering:
    """Lowers the parts of one graph for groups of `chips`. Without tensors constants have no data.

    A value of the program that is an input has the name of the graph's input, or of the Embed that the host looks up.
    """

    def __init__(
        self, graph: FunctionGraph, tensors: Tensors | None = None, *, chips: int = 1, chip: ChipSpec = GROQCHIP1
    ) -> None:
        self.graph, self.chips, self.chip = graph, chips, chip
        self._tensors = tensors if tensors is not None else {}

    @cached_property
    def kinds(self) -> tuple[LayerKind, ...]:
        """Parts of one kind together; `layers` are their places in the graph."""
        kinds: dict[tuple[bool, tuple[Node, ...]], list[int]] = {}
        for index, nodes in enumerate(self.graph.parts):
            renamed = tuple(_rename(node, self._name_before(index)) for node in nodes)
            kinds.setdefault((self._is_last(index), renamed), []).append(index)
        return tuple(LayerKind(tuple(places), self.graph.parts[places[0]]) for places in kinds.values())

    @property
    def shape(self) -> StepShape:
        """One step, without a cache."""
        return StepShape(self.graph.tokens, 0, 1, 1, self.graph.tokens)

    def lower_part(self, kind: LayerKind) -> LoweredPart:
        """Raises CompileError that names the node which cannot be compiled."""
        first, graph = kind.layers[0], self.graph
        nodes = graph.parts[first]
        weights = Weights([graph.parts[index] for index in kind.layers], self._tensors)
        seam = None if self._is_last(first) else nodes[-1].name
        lowering = GraphLowering(
            f"part {first}", nodes, weights, self.shape, self.chips, self.chip, tokens_of=graph.tokens_of, seam=seam
        )
        if first:
            before = graph.parts[first - 1][-1]
            lowering.hold_hidden(before.name, before.channels)
        else:
            for each in graph.inputs:
                if each.channels is not None:
                    lowering.hold_input(each.name, each.channels)
        lowering.lower()
        return LoweredPart(lowering.builder.finish(), lowering.builder.data, lowering.held)

    def _is_last(self, index: int) -> bool:
        return index == len(self.graph.parts) - 1

    def _name_before(self, index: int) -> str | None:
        return self.graph.parts[index - 1][-1].name if index else None


def _rename(node: Node, before: str | None) -> Node:
    """The node as it would be in a part without a number, whatever the name of the part before."""

    def strip(value: object) -> object:
        if isinstance(value, str):
            return "before" if value == before else _NUMBER.sub(r"\1", value)
        if isinstance(value, tuple):
            return tuple(strip(part) for part in value)
        if hasattr(value, "__dataclass_fields__"):
            return replace(value, **{name: strip(getattr(value, name)) for name in value.__dataclass_fields__})  # type: ignore[type-var]
        return value

    return strip(node)  # type: ignore[return-value]
