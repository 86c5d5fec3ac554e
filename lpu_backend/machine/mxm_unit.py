"""MXM: loading and installing weights, products, accumulators."""

import numpy as np

from lpu_backend.arithmetic import pointwise
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Accumulate, ActivationBuffer, InstallWeights, LoadWeights
from lpu_backend.isa.operands import DataType
from lpu_backend.machine.chip import ChipState
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.plane import InstalledWeights, Plane, Product
from lpu_backend.machine.vectors import Elements

ACCUMULATOR_TYPES = {DataType.INT8: DataType.INT32, DataType.FP16: DataType.FP32}


def load_weights(chip: ChipState, issue: Issue, instruction: LoadWeights, cycle: int) -> None:
    """Rows into the buffer."""
    count = chip.spec.mxm_load_streams
    if not 0 <= instruction.row <= chip.spec.lanes - count:
        detail = f"the buffer has rows 0 to {chip.spec.lanes - 1}"
        raise chip.refuse(HazardKind.BAD_INSTRUCTION, issue, issue.cycle, detail)
    buffer = _plane(chip, issue).buffer
    for place, vector in enumerate(chip.sample_group(issue, instruction.stream, count, cycle)):
        buffer[instruction.row + place] = chip.powered(issue, vector.data).view(np.uint8)


def install_weights(chip: ChipState, issue: Issue, instruction: InstallWeights, cycle: int) -> None:
    """Buffer to array."""
    plane = _plane(chip, issue)
    missing = next((row for row in range(instruction.rows) if row not in plane.buffer), None)
    if missing is not None:
        raise chip.refuse(HazardKind.WEIGHTS, issue, cycle, f"row {missing} was not loaded before this cycle")
    plane.install(instruction.rows, cycle + chip.spec.timing("IW").func)


def multiply(chip: ChipState, issue: Issue, instruction: ActivationBuffer, cycle: int) -> None:
    """A vector times the array."""
    plane = _plane(chip, issue)
    _check_interval(chip, issue, plane, instruction.dtype)
    vector = chip.powered(issue, chip.sample_elements(issue, instruction.stream, instruction.dtype, cycle))
    if instruction.dtype is DataType.INT8:
        elements: Elements = _weights(chip, issue, plane, cycle).int8().multiply(vector.view(np.int8))
    else:
        outer = chip.planes[_outer_name(issue)]
        high = _weights(chip, issue, outer, cycle)
        elements = _weights(chip, issue, plane, cycle).fp16(high).multiply(vector.view(np.float16))
    due_cycle = issue.cycle + chip.spec.timing(f"ABC.{instruction.dtype.value}").func
    if due_cycle in plane.products:
        detail = f"the product of {plane.products[due_cycle].issue} is due in the same cycle"
        raise chip.refuse(HazardKind.PRODUCT, issue, due_cycle, detail)
    plane.products[due_cycle] = Product(ACCUMULATOR_TYPES[instruction.dtype], elements, issue)
    chip.at_end_of_cycle(due_cycle, lambda: _refuse_untaken(chip, plane, due_cycle))


def accumulate(chip: ChipState, issue: Issue, instruction: Accumulate, cycle: int) -> None:
    """A product into an accumulator, and the accumulator onto four streams."""
    plane, slots = _plane(chip, issue), chip.spec.mxm_accumulators
    if not 0 <= instruction.slot < slots:
        raise chip.refuse(HazardKind.BAD_INSTRUCTION, issue, cycle, f"accumulators are 0 to {slots - 1}")
    product = plane.products.pop(cycle, None)
    if product is None:
        raise chip.refuse(HazardKind.PRODUCT, issue, cycle, "no product is due in this cycle")
    elements = chip.powered(issue, product.elements)
    if instruction.mode == "add":
        held = _held(chip, issue, plane, product, instruction.slot, cycle)
        elements = pointwise.apply_binary("Add", product.dtype, held, elements)
    plane.accumulators[instruction.slot] = (product.dtype, elements)
    if instruction.destination is not None:
        drive_cycle = issue.cycle + chip.spec.timing("ACC").func
        chip.drive_elements(issue, instruction.destination, drive_cycle, elements)


def _refuse_untaken(chip: ChipState, plane: Plane, due_cycle: int) -> None:
    product = plane.products.get(due_cycle)
    if product is not None:
        raise chip.refuse(HazardKind.PRODUCT, product.issue, due_cycle, "no ACC takes the product in this cycle")


def _held(chip: ChipState, issue: Issue, plane: Plane, product: Product, slot: int, cycle: int) -> Elements:
    held = plane.accumulators.get(slot)
    if held is None or held[0] is not product.dtype:
        detail = "was never set" if held is None else f"holds {held[0].value}, the product is {product.dtype.value}"
        raise chip.refuse(HazardKind.ACCUMULATOR, issue, cycle, f"accumulator {slot} {detail}")
    return held[1]


def _check_interval(chip: ChipState, issue: Issue, plane: Plane, dtype: DataType) -> None:
    """One fp16 vector keeps both planes of a side for two cycles."""
    cycle, interval = issue.cycle, chip.spec.timing("ABC.fp16").interval
    inner = chip.planes[issue.queue.slice_name[:-1] + "0"]
    busy = cycle - inner.last_fp16_cycle < interval
    if dtype is DataType.FP16:
        busy = busy or plane.last_int8_cycle == cycle or chip.planes[_outer_name(issue)].last_int8_cycle == cycle
        plane.last_fp16_cycle = cycle
    else:
        plane.last_int8_cycle = cycle
    if busy:
        detail = "the planes of this side are busy with an fp16 vector, or were given two"
        raise chip.refuse(HazardKind.ISSUE_INTERVAL, issue, cycle, detail)


def _weights(chip: ChipState, issue: Issue, plane: Plane, cycle: int) -> InstalledWeights:
    weights = plane.weights_at(cycle)
    if weights is None:
        raise chip.refuse(HazardKind.WEIGHTS, issue, cycle, "no weights are installed by this cycle")
    return weights


def _plane(chip: ChipState, issue: Issue) -> Plane:
    return chip.planes[issue.queue.slice_name]


def _outer_name(issue: Issue) -> str:
    return issue.queue.slice_name[:-1] + "1"
