"""The schedule pass: every instruction of a vector program gets a queue and a cycle.

Operations find their start in the order of the program, each as early as what it reads is there and its queues and
streams are free: so loads run ahead, and what does not depend on one another overlaps. An AllGather is a window of its
own: nothing else is under way then.
"""

from functools import singledispatchmethod

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.lane_units import make_lane_max_unit, make_permute_unit, make_store_unit
from lpu_backend.compiler.layouts_in_sram import Places
from lpu_backend.compiler.map_units import make_map_units
from lpu_backend.compiler.matrix_units import MatrixPlanner
from lpu_backend.compiler.routing import GatherWindow, route_gather
from lpu_backend.compiler.template import Placement, Run, Template
from lpu_backend.compiler.timetable import Timetable
from lpu_backend.compiler.vector_program import (
    AllGather,
    LaneMax,
    Map,
    MatMul,
    Operation,
    PermuteLanes,
    StoreRow,
    TransposeTile,
    VectorProgram,
)
from lpu_backend.isa.operations import name_operation


def schedule_program(
    program: VectorProgram, placement: Placement, group: GroupShape, chip: ChipSpec = GROQCHIP1
) -> Template:
    """The template of a placed program. CompileError where the chip's queues or ALUs are too few for an operation."""
    scheduler = _Scheduler(program, placement, group, chip)
    for index, operation in enumerate(program.operations):
        scheduler.add(operation, index)
    return scheduler.finish()


class _Scheduler:
    def __init__(self, program: VectorProgram, placement: Placement, group: GroupShape, chip: ChipSpec) -> None:
        self._program, self._placement, self._group, self._chip = program, placement, group, chip
        self._places = Places(program, placement, chip)
        self._timetable = Timetable(chip)
        self._matrices = MatrixPlanner(self._places, self._timetable, chip)
        self._tiles = {tiles.name: tiles for tiles in program.tiles}
        self._values = {value.name: value for value in program.values}
        self._windows: list[tuple[int, GatherWindow]] = []

    def finish(self) -> Template:
        runs = tuple(sorted(self._timetable.runs, key=lambda run: (run.cycle, run.queue)))
        last = max((find_last_cycle(run, self._chip) for run in runs), default=-1)
        windows, cycles = tuple(self._windows), self._timetable.last_cycle + 1
        return Template(self._program, self._placement, runs, windows, cycles, last)

    @singledispatchmethod
    def add(self, operation: Operation, index: int) -> None:
        """Schedule the operation at `index`."""
        raise CompileError(f"operation {index}: {type(operation).__name__} cannot be scheduled")

    @add.register
    def _map(self, operation: Map, index: int) -> None:
        units = make_map_units(operation, self._places, self._chip)
        # The meshes take turns, so that no ALU's queue is much longer than the others.
        first = index % len(units)
        self._timetable.place(*units[first:], *units[:first])

    @add.register
    def _lane_max(self, operation: LaneMax, index: int) -> None:
        self._timetable.place(make_lane_max_unit(operation, self._places, self._chip))

    @add.register
    def _permute(self, operation: PermuteLanes, index: int) -> None:
        self._timetable.place(make_permute_unit(operation, self._places, self._chip))

    @add.register
    def _matmul(self, operation: MatMul, index: int) -> None:
        self._matrices.multiply(operation, operation.outputs or self._tiles[operation.tiles].outputs)

    @add.register
    def _store(self, operation: StoreRow, index: int) -> None:
        self._timetable.place(make_store_unit(operation, index, self._places, self._chip))

    @add.register
    def _transpose(self, operation: TransposeTile, index: int) -> None:
        self._matrices.transpose(operation, self._tiles[operation.destination].rows)

    @add.register
    def _gather(self, operation: AllGather, index: int) -> None:
        source, destination = (self._placement.values[name] for name in (operation.source, operation.destination))
        width = self._values[operation.source].dtype.streams
        window = route_gather(self._group, operation.rows, operation.blocks, source, destination, width, self._chip)
        self._windows.append((self._timetable.last_cycle + 1, window))
        self._timetable.take_all(window.cycles)


def find_last_cycle(run: Run, chip: ChipSpec) -> int:
    """The last cycle in which a run dispatches, takes operands or drives a stream."""
    timing = chip.timing(name_operation(run.instruction))
    drives = getattr(run.instruction, "destination", None) is not None or name_operation(run.instruction) == "Read"
    return run.cycle + run.count * run.distance + max(timing.skew, timing.func if drives else 0)
