"""Maps on the VXM: reads, ALUs and writes of all rows as one unit of the schedule."""

from collections import defaultdict
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.alu_issues import FLIPS, VXM, AluIssues
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.layouts_in_sram import Places
from lpu_backend.compiler.map_plan import MapPlan, Shape, plan_map
from lpu_backend.compiler.mesh import MeshPlan, assign_alus
from lpu_backend.compiler.units import Series, Unit, UnitBuilder
from lpu_backend.compiler.vector_program import Map, Rows

_INTERVALS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_TRIES = (6, 48)
"""Shifts of an operand or a result at one interval: few at first, as a wider interval is mostly the better way out."""


def make_map_units(operation: Map, places: Places, chip: ChipSpec) -> list[Unit]:
    """The unit on each mirrored mesh, as alternatives. CompileError if its rows cannot follow one another."""
    shape = Shape(operation.steps, len(operation.operands), tuple(result.step for result in operation.results))
    intervals = _INTERVALS if operation.rows > 1 else (1, 64)
    for tries, interval in product(_TRIES, intervals):
        plan = _fit(operation, shape, (interval, tries), places, chip)
        if plan is not None:
            mesh = _assign(shape, interval, plan.operand_shifts, plan.result_shifts, chip)
            if mesh is not None:
                return [_make_unit(operation, plan, mesh, places, chip, flip) for flip in FLIPS]
    raise CompileError(f"{operation.name}: no order of its {len(operation.steps)} steps fits the VXM")


@lru_cache(maxsize=4096)
def _assign(
    shape: Shape, interval: int, operand_shifts: tuple[int, ...], result_shifts: tuple[int, ...], chip: ChipSpec
) -> MeshPlan | None:
    plan = plan_map(shape, interval, operand_shifts, result_shifts, chip)
    return None if plan is None else assign_alus(plan, chip)


class _Fitted(NamedTuple):
    """A plan, and the shifts that it was made with."""

    plan: MapPlan
    operand_shifts: tuple[int, ...]
    result_shifts: tuple[int, ...]


def _fit(operation: Map, shape: Shape, pace: tuple[int, int], places: Places, chip: ChipSpec) -> _Fitted | None:
    """Shift operands and results until no slice is wanted twice in a cycle; `pace`: the interval, and tries."""
    interval, tries = pace
    step = chip.timing("Pointwise").func - chip.timing("Pointwise").skew
    shifts = [0] * (shape.operands + len(shape.results))
    for _ in range(tries):
        operand_shifts, result_shifts = tuple(shifts[: shape.operands]), tuple(shifts[shape.operands :])
        plan = plan_map(shape, interval, operand_shifts, result_shifts, chip)
        if plan is None:
            return None
        clash = _find_clash(operation, plan, places, chip)
        if clash is None:
            return _Fitted(plan, operand_shifts, result_shifts)
        shifts[clash] += step
    return None


def _find_clash(operation: Map, plan: MapPlan, places: Places, chip: ChipSpec) -> int | None:
    """An operand, or a result counted on from the operands, that wants a slice in a cycle that is taken."""
    taken: dict[str, set[int]] = defaultdict(set)
    read = chip.timing("Read").func
    for place, (rows, arrival) in enumerate(zip(operation.operands, plan.arrivals, strict=True)):
        if arrival is None:
            continue
        for spot, series, _ in places.walk(rows, operation.rows, Series(arrival, 0, plan.interval)):
            shift = read + places.distance(spot.slice_name, VXM)
            cycles = set((series.list_cycles() - shift).tolist())
            if not taken[spot.slice_name].isdisjoint(cycles):
                return place
            taken[spot.slice_name] |= cycles
    for node in plan.nodes:
        for number in node.results:
            rows = operation.results[number].rows
            for spot, series, _ in places.walk(rows, operation.rows, Series(node.available, 0, plan.interval)):
                cycles = set((series.list_cycles() + places.distance(spot.slice_name, VXM)).tolist())
                if not taken[spot.slice_name].isdisjoint(cycles):
                    return len(operation.operands) + number
                taken[spot.slice_name] |= cycles
    return None


def _make_unit(
    operation: Map, fitted: _Fitted, mesh: MeshPlan, places: Places, chip: ChipSpec, flip: tuple[int, int]
) -> Unit:
    """One alternative."""
    builder = UnitBuilder(chip)
    alus = AluIssues(builder, operation.steps, (fitted.plan, mesh), operation.rows, flip=flip)
    for place, (rows, cycle) in enumerate(zip(operation.operands, fitted.plan.arrivals, strict=True)):
        if cycle is not None:
            arrival = Series(cycle, 0, fitted.plan.interval)
            alus.operands[place] = _read(builder, places, rows, operation.rows, arrival), 0
    for place, node in enumerate(fitted.plan.nodes):
        driven = Series(node.available, 0, fitted.plan.interval)
        for number in node.results:
            for spot, series, byte in places.walk(operation.results[number].rows, operation.rows, driven):
                transport = alus.stream_out(place, builder.towards(VXM, spot.slice_name))
                builder.write(spot, (transport, byte), series, VXM)
    alus.finish()
    return builder.unit


def _read(builder: UnitBuilder, places: Places, rows: Rows, count: int, arrival: Series) -> int:
    """The transport that brings an operand to the VXM."""
    first = places.find_row(rows.value, rows.start)
    transport = builder.open(builder.towards(first.slice_name, VXM), places.width(rows.value))
    for spot, series, byte in places.walk(rows, count, arrival):
        builder.read(spot, (transport, byte), series, VXM)
    return transport
