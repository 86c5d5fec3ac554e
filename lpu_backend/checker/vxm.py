"""VXM: every result register that is read holds a result, of the type that it is read as."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lpu_backend.checker.accesses import alu_result_type, alu_sources, operation
from lpu_backend.checker.issues import IntArray, Issue, IssueTable
from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa.instructions import Binary, Convert, Unary
from lpu_backend.isa.operands import AluResult, DataType

_TYPES = tuple(DataType)


class RegisterEvents(NamedTuple):
    """Results that enter registers, and reads of registers, a row each: `register` is unique over all chips."""

    issue: IntArray
    iteration: IntArray
    dispatch_cycle: IntArray
    cycle: IntArray
    register: IntArray
    dtype: IntArray
    is_read: IntArray


class _Use(NamedTuple):
    delay: int
    alu: int
    dtype: int
    is_read: int


def list_vxm_hazards(table: IssueTable, chip: ChipSpec) -> Iterator[Hazard]:
    """ALU_RESULT where a register that is read has no result yet, BAD_INSTRUCTION where that is of another type.

    A result is there from its d_func on; of two that enter in one cycle the one dispatched later stays.
    """
    events = _list_events(table, chip)
    order = np.lexsort((events.dispatch_cycle, events.is_read, events.cycle, events.register))
    register, is_read, dtype = events.register[order], events.is_read[order], events.dtype[order]
    latest = np.maximum.accumulate(np.where(is_read == 1, -1, np.arange(len(order))))
    has_result = (latest >= 0) & (register[latest] == register)
    for place in np.flatnonzero((is_read == 1) & ~has_result).tolist():
        detail = f"{_name(events, order[place], chip)} has no result yet{_first_result(events, order[place])}"
        yield table.refuse(events, order[place], HazardKind.ALU_RESULT, detail)
    for place in np.flatnonzero((is_read == 1) & has_result & (dtype[latest] != dtype)).tolist():
        held, read = _TYPES[dtype[latest[place]]].value, _TYPES[dtype[place]].value
        detail = f"{_name(events, order[place], chip)} holds {held}, read as {read}"
        yield table.refuse(events, order[place], HazardKind.BAD_INSTRUCTION, detail)


def _list_events(table: IssueTable, chip: ChipSpec) -> RegisterEvents:
    issues: list[int] = []
    entries: list[_Use] = []
    for row, issue in enumerate(table):
        for use in _uses_of(issue, chip):
            issues.append(row)
            entries.append(use)
    spread = table.spread(issues)
    columns = np.array(entries, dtype=np.int64).reshape(-1, len(_Use._fields))[spread.entry]
    register = table.chip[spread.issue] * chip.vxm_alus_per_lane + columns[:, 1]
    cycle = spread.dispatch_cycle + columns[:, 0]
    return RegisterEvents(
        spread.issue, spread.iteration, spread.dispatch_cycle, cycle, register, columns[:, 2], columns[:, 3]
    )


def _uses_of(issue: Issue, chip: ChipSpec) -> Iterator[_Use]:
    """The registers that an ALU's instruction reads, and its own, which takes the result."""
    instruction = issue.instruction
    if not isinstance(instruction, Unary | Binary | Convert):
        return
    timing = chip.timing(operation(instruction))
    sources, dtype = alu_sources(instruction)
    for alu in {source.alu for source in sources if isinstance(source, AluResult)}:
        yield _Use(timing.skew, alu, _TYPES.index(dtype), is_read=1)
    yield _Use(timing.func, issue.queue.part, _TYPES.index(alu_result_type(instruction)), is_read=0)


def _name(events: RegisterEvents, row: int, chip: ChipSpec) -> AluResult:
    return AluResult(int(events.register[row]) % chip.vxm_alus_per_lane)


def _first_result(events: RegisterEvents, row: int) -> str:
    cycles = events.cycle[(events.register == events.register[row]) & (events.is_read == 0)]
    return f": its first enters in cycle {cycles.min()}" if len(cycles) else ""
