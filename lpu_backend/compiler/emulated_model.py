"""A compiled model on the instruction-level emulator: the proof that schedule and numerics are what they say.

Every step is a program: all layers and the head, on the chips of one group. The cache is carried from step to step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.emission import Placed, write_queues
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.lowering import COSINES, HIDDEN, HIDDEN_SHARD, SINES, Lowered
from lpu_backend.compiler.model_lowering import ModelLowering
from lpu_backend.compiler.placing import Part, place_parts
from lpu_backend.compiler.regions import Kind, make_tile_regions, make_value_region, name_tiles, name_value
from lpu_backend.compiler.scheduling import schedule_program
from lpu_backend.compiler.step_inputs import make_mask, place_hidden, place_rotations
from lpu_backend.compiler.template import Template
from lpu_backend.compiler.vector_program import Tiles, Value
from lpu_backend.graph.nodes import Attend, ModelGraph
from lpu_backend.isa.program import Program, Region
from lpu_backend.machine import Machine
from lpu_backend.network.lowering import list_links
from lpu_backend.network.prologue import count_prologue_cycles
from lpu_backend.runtime.rope import RotationTable

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EmulatedStep:
    """Logits [tokens, vocabulary], the cycles that the emulator counted, and those that the schedule says."""

    logits: Floats
    cycles: int
    scheduled_cycles: int


@dataclass(frozen=True)
class Stage:
    """A layer in a step, or the head, whose `layer` is None."""

    lowered: Lowered
    placed: Placed
    layer: int | None

    @property
    def template(self) -> Template:
        return self.placed.template

    @property
    def states(self) -> list[Tiles]:
        """The cache."""
        return [tiles for tiles in self.template.program.tiles if tiles.kind == "state"]


class EmulatedModel:
    """Runs tokens step by step."""

    def __init__(
        self, graph: ModelGraph, tensors: dict[str, Floats], *, chips: int = 1, chip: ChipSpec = GROQCHIP1
    ) -> None:
        self.lowering = ModelLowering(graph, tensors, chips=chips, chip=chip)
        self._graph, self._tensors, self._group, self._chip = graph, tensors, GroupShape(chips), chip
        self._rotations = RotationTable(graph.rope)
        self._cache: dict[tuple[int | None, str], NDArray[np.int8]] = {}
        self.position = 0

    def advance(self, ids: Sequence[int]) -> EmulatedStep:
        """Run tokens that follow those before. HazardError if the schedule is wrong."""
        shape = self.lowering.make_shape(self.position, len(ids))
        stages = self.compile_step(shape)
        machine = Machine(self.write_program(stages), self._chip)
        self._write_inputs(machine, stages, ids, shape)
        run = machine.run()
        self._keep_cache(machine, stages)
        self.position += len(ids)
        return EmulatedStep(self._read_logits(machine, stages[-1], len(ids)), run.cycles, self._count_cycles(stages))

    def compile_step(self, shape: StepShape) -> list[Stage]:
        """Every layer of a step, and the head, with the cycle in which each begins."""
        kinds = self.lowering.kinds
        head = self.lowering.lower_head(shape)
        lowered = [*(self.lowering.lower_layer(kind, shape) for kind in kinds), head]
        counts = [*(len(kind.layers) for kind in kinds), 1]
        parts = [
            Part(each.program, each.program.name, layers, (head.result,) if each is head else ())
            for each, layers in zip(lowered, counts, strict=True)
        ]
        templates = [
            schedule_program(part.program, placement, self._group, self._chip)
            for part, placement in zip(parts, place_parts(parts, self._chip), strict=True)
        ]
        by_layer = {layer: (place, at) for place, kind in enumerate(kinds) for at, layer in enumerate(kind.layers)}
        stages, cycle = [], 0
        for layer in [*sorted(by_layer), None]:
            place, ordinal = (len(kinds), 0) if layer is None else by_layer[layer]
            stages.append(Stage(lowered[place], Placed(templates[place], cycle, ordinal), layer))
            cycle += templates[place].cycles
        return stages

    def write_program(self, stages: Sequence[Stage]) -> Program:
        """Instructions of all chips, with weights and cache."""
        placed, members = [stage.placed for stage in stages], self._group.members
        is_aligned = len(members) > 1
        queues = tuple(write_queues(placed, member, self._chip, is_aligned=is_aligned) for member in members)
        regions = {region.name: region for stage in stages for region in self._list_regions(stage)}
        links = list_links(self._group.topology(self._chip)) if is_aligned else ()
        return Program("step", queues, tuple(regions.values()), links=links)

    def _count_cycles(self, stages: Sequence[Stage]) -> int:
        last = stages[-1].placed
        prologue = count_prologue_cycles(self._chip) if self._group.chips > 1 else 0
        return prologue + last.begin_cycle + last.template.last_cycle + self._chip.tiles

    def _list_regions(self, stage: Stage) -> Iterator[Region]:
        program, data, ordinal = stage.template.program, stage.lowered.data, stage.placed.ordinal
        result = stage.lowered.result if stage.layer is None else None
        for value in program.values:
            if value.scope == "step" and value.name != result:
                continue
            array = data[value.name](ordinal) if value.kind == "constant" else None
            kind: Kind = "output" if value.kind == "local" else value.kind
            for member in self._group.members:
                held = None if array is None else array[member % len(array)]
                yield make_value_region(stage.placed, value, self._chip, member, kind, held)
        for tiles in program.tiles:
            arrays = self._list_tiles(stage, tiles)
            for member in self._group.members:
                yield from make_tile_regions(stage.placed, tiles, self._chip, member, arrays[member])

    def _list_tiles(self, stage: Stage, tiles: Tiles) -> NDArray[np.int8]:
        shape = (self._group.chips, tiles.outputs, tiles.inputs, tiles.rows, self._chip.lanes)
        if tiles.kind == "state":
            return self._cache.setdefault((stage.layer, tiles.name), np.zeros(shape, np.int8))
        return np.broadcast_to(stage.lowered.data[tiles.name](stage.placed.ordinal), shape)

    def _write_inputs(self, machine: Machine, stages: Sequence[Stage], ids: Sequence[int], shape: StepShape) -> None:
        inputs = self._make_inputs(ids, shape)
        for stage in stages:
            for value in stage.template.program.values:
                if value.name in inputs:
                    array = inputs[value.name]
                    for member in self._group.members:
                        machine.write(name_value(stage.placed, value, member), array[member % len(array)])

    def _make_inputs(self, ids: Sequence[int], shape: StepShape) -> dict[str, Floats]:
        """By name [chips or 1, rows, lanes]."""
        embed = self._graph.embed
        rows = self._tensors[embed.table][list(ids)]
        if embed.factor != 1.0:
            rows = rows * np.float32(embed.factor)
        inputs = dict(zip((HIDDEN_SHARD, HIDDEN), place_hidden(rows, self.lowering.hidden_layout), strict=True))
        rotations = self._rotations.get(shape.position, shape.tokens)
        for node in (node for layer in self._graph.layers for node in layer):
            if isinstance(node, Attend):
                layout = self.lowering.lay_out_heads(node)
                inputs[COSINES], inputs[SINES] = (table[None] for table in place_rotations(rotations, layout))
                name = "mask" if node.window is None else f"mask of {node.window}"
                inputs[name] = make_mask(shape, layout.rows_per_kind, node.window, self._chip.lanes)[None]
        return inputs

    def _keep_cache(self, machine: Machine, stages: Sequence[Stage]) -> None:
        for stage in stages:
            for tiles in stage.states:
                planes = stage.template.placement.tiles[tiles.name].planes
                for member in self._group.members:
                    cache = self._cache[stage.layer, tiles.name][member]
                    for number, plane in enumerate(planes):
                        part = cache[number :: len(planes)]
                        part[:] = machine.read(name_tiles(stage.placed, tiles, member, plane)).reshape(part.shape)

    def _read_logits(self, machine: Machine, head: Stage, tokens: int) -> Floats:
        layout, result = head.lowered.layout, _find_value(head, head.lowered.result)
        rows = np.stack([machine.read(name_value(head.placed, result, member)) for member in self._group.members])
        by_row = rows.reshape(len(rows), -1, tokens, self._chip.lanes)
        logits = np.zeros((tokens, self._graph.vocabulary), np.float32)
        chip, row, lane = np.nonzero(layout.channels >= 0)
        logits[:, layout.channels[chip, row, lane]] = by_row[chip, row, :, lane].T
        return logits


def _find_value(stage: Stage, name: str) -> Value:
    return next(value for value in stage.template.program.values if value.name == name)
