"""MXM: weights that are there when they are used, activations far enough apart, and an ACC for every product."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from lpu_backend.checker.issues import Issue, IssueTable
from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa.instructions import (
    Accumulate,
    ActivationBuffer,
    InstallWeights,
    Instruction,
    LoadWeights,
    MxmInstruction,
)
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.operations import name_operation
from lpu_backend.isa.repetition import iterate
from lpu_backend.isa.validity import find_fault

PRODUCT_TYPES = {DataType.INT8: DataType.INT32, DataType.FP16: DataType.FP32}
_I = TypeVar("_I", LoadWeights, InstallWeights, ActivationBuffer, Accumulate)


@dataclass(frozen=True, slots=True)
class Event(Generic[_I]):
    """One dispatch of one of a plane's queues, its instruction stepped."""

    cycle: int
    instruction: _I
    issue: Issue
    iteration: int

    def refuse(self, kind: HazardKind, detail: str, delay_cycles: int = 0) -> Hazard:
        return self.issue.hazard(kind, self.cycle + delay_cycles, detail, self.iteration)

    def describe(self) -> str:
        return self.issue.describe(self.iteration)


class _Plane:
    """What a plane's three queues dispatch, each list in the order of cycles."""

    def __init__(self, issues: Sequence[Issue], chip: ChipSpec) -> None:
        self.loads = _list_events(issues, LoadWeights, chip)
        self.installs = _list_events(issues, InstallWeights, chip)
        self.activations = _list_events(issues, ActivationBuffer, chip)
        self.accumulations = _list_events(issues, Accumulate, chip)


def list_mxm_hazards(table: IssueTable, chip: ChipSpec) -> Iterator[Hazard]:
    """WEIGHTS, ISSUE_INTERVAL, PRODUCT, ACCUMULATOR, and BAD_INSTRUCTION where a Repeat steps out of range."""
    of_plane: dict[tuple[int, str], list[Issue]] = defaultdict(list)
    for issue in table:
        if isinstance(issue.instruction, MxmInstruction):
            of_plane[issue.chip, issue.queue.slice_name].append(issue)
    planes = {key: _Plane(issues, chip) for key, issues in of_plane.items()}
    for (chip_index, slice_name), plane in planes.items():
        side = [plane]
        if slice_name.endswith("0"):
            side.append(planes.get((chip_index, slice_name.removesuffix("0") + "1"), _Plane([], chip)))
            yield from _list_busy(side, chip)
        yield from _list_missing_rows(plane, chip)
        yield from _list_missing_arrays(side, chip)
        yield from _list_product_hazards(plane, chip)
    for issue in (issue for issues in of_plane.values() for issue in issues):
        yield from _list_steps_out_of_range(issue, chip)


def _list_events(issues: Sequence[Issue], kind: type[_I], chip: ChipSpec) -> list[Event[_I]]:
    events = []
    for issue in issues:
        if isinstance(issue.instruction, kind):
            for iteration, cycle in enumerate(issue.dispatch_cycles()):
                instruction = iterate(issue.instruction, iteration)
                if isinstance(instruction, kind) and _find_step_fault(instruction, issue, chip) is None:
                    events.append(Event(cycle, instruction, issue, iteration))
    return events


def _list_steps_out_of_range(issue: Issue, chip: ChipSpec) -> Iterator[Hazard]:
    for iteration, cycle in enumerate(issue.dispatch_cycles()):
        fault = _find_step_fault(iterate(issue.instruction, iteration), issue, chip)
        if fault is not None:
            yield issue.hazard(HazardKind.BAD_INSTRUCTION, cycle, fault, iteration)


def _find_step_fault(instruction: Instruction, issue: Issue, chip: ChipSpec) -> str | None:
    """Rows and slots are the numbers of an MXM instruction that a Repeat steps."""
    return find_fault(instruction, issue.queue, chip) if getattr(instruction, "step", 0) else None


def _list_busy(side: Sequence[_Plane], chip: ChipSpec) -> Iterator[Hazard]:
    """An fp16 activation keeps the planes of its side, inner and outer, for its interval."""
    activations = [event for plane in side for event in plane.activations]
    activations.sort(key=lambda event: event.cycle)  # stable: in one cycle the inner plane's comes first
    for place, event in enumerate(activations):
        if event.instruction.dtype is DataType.FP16:
            interval_cycles = chip.timing(name_operation(event.instruction)).interval
            for later in activations[place + 1 : place + len(side) * interval_cycles]:
                if later.cycle < event.cycle + interval_cycles:
                    detail = f"{event.describe()} takes both planes for {interval_cycles} cycles"
                    yield later.refuse(HazardKind.ISSUE_INTERVAL, detail)


def _list_missing_rows(plane: _Plane, chip: ChipSpec) -> Iterator[Hazard]:
    """An IW takes the rows sampled in cycles before its own, from that of the IW before it on."""
    skew_cycles = chip.timing("LW").skew
    loads = iter(plane.loads)
    load = next(loads, None)
    for install in plane.installs:
        is_loaded = np.zeros(chip.lanes, dtype=bool)
        while load is not None and load.cycle + skew_cycles < install.cycle:
            is_loaded[load.instruction.row : load.instruction.row + chip.mxm_load_streams] = True
            load = next(loads, None)
        missing = np.flatnonzero(~is_loaded[: install.instruction.rows])
        if len(missing):
            detail = f"{len(missing)} of {install.instruction.rows} rows are not in the buffer, row {missing[0]} first"
            yield install.refuse(HazardKind.WEIGHTS, detail)


def _list_missing_arrays(side: Sequence[_Plane], chip: ChipSpec) -> Iterator[Hazard]:
    """An int8 activation needs the array of its own plane, one in fp16 both arrays of its side."""
    func_cycles = chip.timing("IW").func
    first_cycles = [plane.installs[0].cycle + func_cycles if plane.installs else None for plane in side]
    for event in side[0].activations:
        needed = first_cycles if event.instruction.dtype is DataType.FP16 else first_cycles[:1]
        skew_cycles = chip.timing(name_operation(event.instruction)).skew
        for place, first_cycle in enumerate(needed):
            if first_cycle is None or event.cycle + skew_cycles < first_cycle:
                plane = ("this plane", "the outer plane")[place]
                since = "" if first_cycle is None else f" before cycle {first_cycle}"
                detail = f"no weights are installed in {plane}{since}"
                yield event.refuse(HazardKind.WEIGHTS, detail, skew_cycles)


def _list_product_hazards(plane: _Plane, chip: ChipSpec) -> Iterator[Hazard]:
    """Each product meets one ACC in the cycle in which it is due, and each ACC one product."""
    taken = {event.cycle: event for event in plane.accumulations}
    types: dict[int, DataType] = {}
    due_cycles = []
    for event in plane.activations:
        func_cycles = chip.timing(name_operation(event.instruction)).func
        due_cycle = event.cycle + func_cycles
        due_cycles.append(due_cycle)
        if due_cycle not in taken:
            yield event.refuse(HazardKind.PRODUCT, "no ACC takes it in this cycle", func_cycles)
        elif due_cycle in types:
            yield event.refuse(HazardKind.PRODUCT, "another product is due in this cycle", func_cycles)
        else:
            types[due_cycle] = PRODUCT_TYPES[event.instruction.dtype]
    due_cycles.sort()
    for accumulation in plane.accumulations:
        if accumulation.cycle not in types:
            detail = f"no product is due, {_describe_nearest(due_cycles, accumulation.cycle)}"
            yield accumulation.refuse(HazardKind.PRODUCT, detail)
    yield from _list_accumulator_hazards(plane, types)


def _describe_nearest(due_cycles: Sequence[int], cycle: int) -> str:
    place = bisect_left(due_cycles, cycle)
    nearest = min(due_cycles[max(place - 1, 0) : place + 1], key=lambda due: abs(due - cycle), default=None)
    return "none at all" if nearest is None else f"the nearest in cycle {nearest}"


def _list_accumulator_hazards(plane: _Plane, types: dict[int, DataType]) -> Iterator[Hazard]:
    """`types` has the type of each product by the cycle in which an ACC takes it."""
    held: dict[int, DataType] = {}
    for event in plane.accumulations:
        if (dtype := types.get(event.cycle)) is None:
            continue
        slot = event.instruction.slot
        if event.instruction.mode == "add" and held.get(slot) is not dtype:
            holds = f"holds {held[slot].value}, the product is {dtype.value}" if slot in held else "was never set"
            yield event.refuse(HazardKind.ACCUMULATOR, f"accumulator {slot} {holds}")
        held[slot] = dtype
