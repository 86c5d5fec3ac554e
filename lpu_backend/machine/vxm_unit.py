"""VXM: one ALU's operation on every lane."""

import numpy as np

from lpu_backend.arithmetic import pointwise
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import TRANSCENDENTAL_OPS, Binary, Convert, Unary
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Source, Stream
from lpu_backend.machine.chip import ChipState
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.vectors import Elements


def compute_unary(chip: ChipState, issue: Issue, instruction: Unary, cycle: int) -> None:
    """One operand."""
    dtype = instruction.dtype
    operand = _fetch(chip, issue, instruction.source, dtype, cycle)
    operation = "Transcendental" if instruction.op in TRANSCENDENTAL_OPS else "Pointwise"
    _finish(
        chip, issue, operation, dtype, pointwise.apply_unary(instruction.op, dtype, operand), instruction.destination
    )


def compute_binary(chip: ChipState, issue: Issue, instruction: Binary, cycle: int) -> None:
    """Two operands of one type."""
    dtype = instruction.dtype
    left = _fetch(chip, issue, instruction.left, dtype, cycle)
    right = _fetch(chip, issue, instruction.right, dtype, cycle)
    result = pointwise.apply_binary(instruction.op, dtype, left, right)
    _finish(chip, issue, "Pointwise", dtype, result, instruction.destination)


def convert(chip: ChipState, issue: Issue, instruction: Convert, cycle: int) -> None:
    """Another type."""
    operand = _fetch(chip, issue, instruction.source, instruction.from_type, cycle)
    result = pointwise.convert(instruction.to_type, operand)
    _finish(chip, issue, "Convert", instruction.to_type, result, instruction.destination)


def _fetch(chip: ChipState, issue: Issue, source: Source, dtype: DataType, cycle: int) -> Elements:
    if isinstance(source, Stream):
        return chip.sample_elements(issue, source, dtype, cycle)
    if isinstance(source, Immediate):
        return np.full(chip.spec.lanes, pointwise.immediate(source.bits, dtype), dtype.numpy)
    return _fetch_result(chip, issue, source, dtype, cycle)


def _fetch_result(chip: ChipState, issue: Issue, source: AluResult, dtype: DataType, cycle: int) -> Elements:
    found = chip.alus[source.alu].get(cycle)
    if found is None:
        raise chip.refuse(HazardKind.ALU_RESULT, issue, cycle, f"{source} has no result yet")
    if found[0] is not dtype:
        detail = f"{source} holds {found[0].value}, not {dtype.value}"
        raise chip.refuse(HazardKind.BAD_INSTRUCTION, issue, cycle, detail)
    return found[1]


def _finish(
    chip: ChipState, issue: Issue, operation: str, dtype: DataType, elements: Elements, destination: Stream | None
) -> None:
    elements = np.ascontiguousarray(chip.powered(issue, elements))
    ready_cycle = issue.cycle + chip.spec.timing(operation).func
    if not chip.alus[issue.queue.part].put(ready_cycle, dtype, elements):
        detail = f"another result enters ALU{issue.queue.part} in this cycle"
        raise chip.refuse(HazardKind.ALU_RESULT, issue, ready_cycle, detail)
    if destination is not None:
        chip.drive_elements(issue, destination, ready_cycle, elements)
