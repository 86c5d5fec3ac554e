"""A compiled model on the instruction-level emulator: the proof that schedule and numerics are what they say.

Every step is a program: all layers and the head, on the chips of one group. The cache is carried from step to step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.emission import Placed, write_queues
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.lowering import COSINES, HIDDEN, HIDDEN_SHARD, SINES, Lowered
from lpu_backend.compiler.model_lowering import LayerKind, ModelLowering
from lpu_backend.compiler.placing import Part, place_parts
from lpu_backend.compiler.scheduling import schedule_program
from lpu_backend.compiler.sram import list_plane_slices
from lpu_backend.compiler.step_inputs import make_mask, place_hidden, place_rotations
from lpu_backend.compiler.template import Template
from lpu_backend.compiler.vector_program import Tiles, Value
from lpu_backend.graph.nodes import Attend, ModelGraph
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Program, Region
from lpu_backend.machine import Machine
from lpu_backend.network.lowering import list_links
from lpu_backend.network.prologue import count_prologue_cycles
from lpu_backend.runtime.rope import RotationTable

Floats = NDArray[np.float32]
Array = NDArray[Any]


@dataclass(frozen=True)
class EmulatedStep:
    """Logits [tokens, vocabulary], the cycles that the emulator counted, and those that the schedule says."""

    logits: Floats
    cycles: int
    scheduled_cycles: int


@dataclass(frozen=True)
class _Stage:
    """A layer or the head in a step."""

    lowered: Lowered
    template: Template
    ordinal: int
    layer: int
    begin_cycle: int


class EmulatedModel:
    """Runs tokens step by step."""

    def __init__(
        self, graph: ModelGraph, tensors: dict[str, Floats], *, chips: int = 1, chip: ChipSpec = GROQCHIP1
    ) -> None:
        self.lowering = ModelLowering(graph, tensors, chips=chips, chip=chip)
        self._graph, self._tensors, self._chips, self._chip = graph, tensors, chips, chip
        self._rotations = RotationTable(np.array(graph.rope.frequencies, np.float32))
        self._cache: dict[tuple[int, str], NDArray[np.int8]] = {}
        self.position = 0

    def advance(self, ids: Sequence[int]) -> EmulatedStep:
        """Run tokens that follow those before."""
        shape = self.lowering.make_shape(self.position, len(ids))
        stages = self._compile(shape)
        program = self._write_program(stages)
        machine = Machine(program, self._chip)
        self._write_inputs(machine, stages, ids, shape)
        run = machine.run()
        self._keep_cache(machine, stages)
        self.position += len(ids)
        scheduled = stages[-1].begin_cycle + stages[-1].template.last_cycle + self._chip.tiles
        if self._chips > 1:
            scheduled += count_prologue_cycles(self._chip)
        return EmulatedStep(self._read_logits(machine, stages[-1], len(ids)), run.cycles, scheduled)

    def _compile(self, shape: StepShape) -> list[_Stage]:
        kinds = self.lowering.kinds
        lowered = [self.lowering.lower_layer(kind, shape) for kind in kinds] + [self.lowering.lower_head(shape)]
        parts = [
            Part(each.program, each.program.name, len(kind.layers)) for each, kind in zip(lowered, kinds, strict=False)
        ]
        parts.append(Part(lowered[-1].program, "head", 1, (lowered[-1].result,)))
        placements = place_parts(parts, self._chip)
        templates = [
            schedule_program(each.program, placement, GroupShape(self._chips), self._chip)
            for each, placement in zip(lowered, placements, strict=True)
        ]
        stages, cycle = [], 0
        for kind, ordinal, layer in self._list_layers():
            place = kinds.index(kind)
            stages.append(_Stage(lowered[place], templates[place], ordinal, layer, cycle))
            cycle += templates[place].cycles
        return [*stages, _Stage(lowered[-1], templates[-1], 0, -1, cycle)]

    def _list_layers(self) -> Iterator[tuple[LayerKind, int, int]]:
        places = {index: (kind, place) for kind in self.lowering.kinds for place, index in enumerate(kind.layers)}
        for index in sorted(places):
            yield *places[index], index

    def _write_program(self, stages: Sequence[_Stage]) -> Program:
        placed = [Placed(stage.template, stage.begin_cycle, stage.ordinal) for stage in stages]
        queues = tuple(write_queues(placed, member, self._chip) for member in range(self._chips))
        regions: dict[str, Region] = {}
        for stage in stages:
            for region in self._list_regions(stage):
                regions[region.name] = region
        links = list_links(GroupShape(self._chips).topology(self._chip)) if self._chips > 1 else ()
        return Program("step", queues, tuple(regions.values()), links=links)

    def _list_regions(self, stage: _Stage) -> Iterator[Region]:
        for value in stage.lowered.program.values:
            if value.scope != "step" or (stage.layer < 0 and value.name == stage.lowered.result):
                for member in range(self._chips):
                    yield self._value_region(stage, value, member)
        for tiles in stage.lowered.program.tiles:
            for member in range(self._chips):
                yield from self._tile_regions(stage, tiles, member)

    def _value_region(self, stage: _Stage, value: Value, member: int) -> Region:
        place = stage.template.placement.values[value.name]
        name = _name(stage, value, member)
        further = self._further(stage, value.scope, place.slices[0])
        data = b""
        if value.kind == "constant":
            array = stage.lowered.data[value.name](stage.ordinal)
            data = np.ascontiguousarray(array[member % len(array)]).astype(value.dtype.numpy).tobytes()
        kind: Literal["input", "output", "constant"] = "output"
        if value.kind != "local":
            kind = value.kind
        return Region(
            name,
            kind,
            value.dtype,
            value.rows,
            self._chip.lanes,
            place.slices,
            place.address + further,
            1,
            member,
            data,
        )

    def _tile_regions(self, stage: _Stage, tiles: Tiles, member: int) -> Iterator[Region]:
        place = stage.template.placement.tiles[tiles.name]
        array = self._tile_data(stage, tiles)[member]
        load = self._chip.mxm_load_streams
        for output, column in np.ndindex(tiles.outputs, tiles.inputs):
            plane = place.planes[output % len(place.planes)]
            slices = list_plane_slices(self._chip, plane)
            deep = output // len(place.planes) * tiles.inputs + column
            address = place.addresses[output % len(place.planes)] + deep * (tiles.rows // load)
            data = np.ascontiguousarray(array[output, column]).tobytes()
            name = f"{_name(stage, tiles, member)} {output} {column}"
            address += self._further(stage, tiles.scope, slices[0])
            yield Region(
                name, "constant", DataType.INT8, tiles.rows, self._chip.lanes, slices, address, 1, member, data
            )

    def _tile_data(self, stage: _Stage, tiles: Tiles) -> NDArray[np.int8]:
        shape = (self._chips, tiles.outputs, tiles.inputs, tiles.rows, self._chip.lanes)
        if tiles.kind == "state":
            return self._cache.setdefault((stage.layer, tiles.name), np.zeros(shape, np.int8))
        return np.broadcast_to(stage.lowered.data[tiles.name](stage.ordinal), shape)

    def _further(self, stage: _Stage, scope: str, slice_name: str) -> int:
        return stage.ordinal * stage.template.placement.layer_stride.get(slice_name, 0) if scope == "layer" else 0

    def _write_inputs(self, machine: Machine, stages: Sequence[_Stage], ids: Sequence[int], shape: StepShape) -> None:
        embed = self._graph.embed
        rows = self._tensors[embed.table][list(ids)]
        if embed.factor != 1.0:
            rows = rows * np.float32(embed.factor)
        shards, whole = place_hidden(rows, self.lowering.hidden_layout)
        inputs: dict[str, Floats] = {HIDDEN_SHARD: shards, HIDDEN: whole}
        for stage in stages[:-1]:
            for node in self.lowering.graph.layers[stage.layer]:
                if isinstance(node, Attend):
                    layout = self.lowering.lay_out_heads(node)
                    tables = place_rotations(self._rotations.get(shape.position, shape.tokens), layout)
                    inputs[COSINES], inputs[SINES] = (table[None] for table in tables)
                    name = "mask" if node.window is None else f"mask of {node.window}"
                    inputs[name] = make_mask(shape, layout.rows_per_kind, node.window, self._chip.lanes)[None]
        declared = {value.name for stage in stages for value in stage.lowered.program.values}
        for name, array in inputs.items():
            if name in declared:
                for member in range(self._chips):
                    machine.write(f"model {name} {member}", array[member % len(array)])

    def _keep_cache(self, machine: Machine, stages: Sequence[_Stage]) -> None:
        for stage in stages:
            for tiles in stage.lowered.program.tiles:
                if tiles.kind == "state":
                    cache = self._cache[stage.layer, tiles.name]
                    for member, output, column in np.ndindex(self._chips, tiles.outputs, tiles.inputs):
                        name = f"{_name(stage, tiles, member)} {output} {column}"
                        cache[member, output, column] = machine.read(name)

    def _read_logits(self, machine: Machine, head: _Stage, tokens: int) -> Floats:
        value = next(value for value in head.lowered.program.values if value.name == head.lowered.result)
        rows = np.stack([machine.read(_name(head, value, member)) for member in range(self._chips)])
        by_row = rows.reshape(self._chips, -1, tokens, self._chip.lanes)
        logits = np.zeros((tokens, self._graph.vocabulary), np.float32)
        chip, row, lane = np.nonzero(head.lowered.layout.channels >= 0)
        logits[:, head.lowered.layout.channels[chip, row, lane]] = by_row[chip, row, :, lane].T
        return logits


def _name(stage: _Stage, thing: Value | Tiles, member: int) -> str:
    where = "model" if thing.scope == "model" else f"layer {stage.layer}"
    return f"{where} {thing.name} {member}"
