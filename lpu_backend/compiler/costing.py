"""What the parts of a model take on groups of a size, from lowering them: memory exactly, cycles as estimated."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple, Protocol

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.estimating import estimate_cycles
from lpu_backend.compiler.lowering import Lowered
from lpu_backend.compiler.memory import PartMemory, measure_part
from lpu_backend.compiler.model_lowering import ModelLowering
from lpu_backend.graph.nodes import ModelGraph


class PartCost(NamedTuple):
    """A part on each chip of its group."""

    memory: PartMemory
    cycles: int


class PartCosts(Protocol):
    """`kinds[layer]` is a layer's kind; costs are of one layer of a kind, or of the head, on a group of `chips`."""

    @property
    def kinds(self) -> tuple[int, ...]: ...

    def cost_layer(self, kind: int, chips: int) -> PartCost: ...

    def cost_head(self, chips: int) -> PartCost: ...


class LoweredCosts:
    """Costs of a graph whose cache holds `context_tokens`, in a decode step at `position`. Each is lowered once."""

    def __init__(self, graph: ModelGraph, *, context_tokens: int, position: int, chip: ChipSpec) -> None:
        self._graph, self._chip = graph, chip
        self._context_tokens, self._position = context_tokens, position
        kinds = ModelLowering(graph, chip=chip).kinds
        numbers = {layer: number for number, kind in enumerate(kinds) for layer in kind.layers}
        self.kinds = tuple(numbers[layer] for layer in range(len(graph.layers)))
        self.cost_layer = cache(self._cost_layer)
        self.cost_head = cache(self._cost_head)

    def _cost_layer(self, kind: int, chips: int) -> PartCost:
        lowering = ModelLowering(self._graph, chips=chips, chip=self._chip)
        shape = make_step(lowering, self._position, 1, self._context_tokens)
        return self._cost(lowering.lower_layer(lowering.kinds[kind], shape))

    def _cost_head(self, chips: int) -> PartCost:
        lowering = ModelLowering(self._graph, chips=chips, chip=self._chip)
        return self._cost(lowering.lower_head(make_step(lowering, self._position, 1, self._context_tokens)))

    def _cost(self, lowered: Lowered) -> PartCost:
        program = lowered.program
        return PartCost(measure_part(program, self._chip), estimate_cycles(program, self._chip))


def make_step(lowering: ModelLowering, position: int, tokens: int, context_tokens: int) -> StepShape:
    """A step whose cache holds `context_tokens`; what the model's own window sets stays."""
    shape = lowering.make_shape(position, tokens)
    return replace(shape, capacity_blocks=-(-context_tokens // lowering.chip.lanes))
