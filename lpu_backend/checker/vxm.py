"""VXM: every result register that is read holds a result, of the type that it is read as."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lpu_backend.checker.issues import IntArray, Issue, IssueTable
from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa.instructions import Binary, Convert, Unary, VxmInstruction
from lpu_backend.isa.operands import AluResult, DataType, Source
from lpu_backend.isa.operations import name_operation

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
    """ALU_RESULT where a register that is read has no result yet, and where two results enter one in one cycle.

    BAD_INSTRUCTION where the result is of another type than it is read as. A result is there from its d_func on.
    """
    events = _list_events(table, chip)
    order = np.lexsort((events.dispatch_cycle, events.is_read, events.cycle, events.register))
    register, is_read, dtype = events.register[order], events.is_read[order], events.dtype[order]
    again = (np.diff(register) == 0) & (np.diff(events.cycle[order]) == 0) & (is_read[1:] == 0)
    for place in np.flatnonzero(again).tolist():
        detail = f"the result of {table.describe(events, order[place])} enters in this cycle too"
        yield table.refuse(events, order[place + 1], HazardKind.ALU_RESULT, detail)
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
    if not isinstance(instruction, VxmInstruction):
        return
    timing = chip.timing(name_operation(instruction))
    sources, dtype = _sources(instruction)
    for alu in {source.alu for source in sources if isinstance(source, AluResult)}:
        yield _Use(timing.skew, alu, _TYPES.index(dtype), is_read=1)
    yield _Use(timing.func, issue.queue.part, _TYPES.index(_result_type(instruction)), is_read=0)


def _sources(instruction: VxmInstruction) -> tuple[tuple[Source, ...], DataType]:
    """An ALU's operands, and the type that it reads them as."""
    match instruction:
        case Unary(source=source, dtype=dtype):
            return (source,), dtype
        case Binary(left=left, right=right, dtype=dtype):
            return (left, right), dtype
        case Convert(source=source, from_type=dtype):
            return (source,), dtype


def _result_type(instruction: VxmInstruction) -> DataType:
    """The type of what an ALU makes."""
    return instruction.to_type if isinstance(instruction, Convert) else instruction.dtype


def _name(events: RegisterEvents, row: int, chip: ChipSpec) -> AluResult:
    return AluResult(int(events.register[row]) % chip.vxm_alus_per_lane)


def _first_result(events: RegisterEvents, row: int) -> str:
    cycles = events.cycle[(events.register == events.register[row]) & (events.is_read == 0)]
    return f": its first enters in cycle {cycles.min()}" if len(cycles) else ""
