"""What was seen while a program ran, and rates counted in the part of the run in which everything is busy."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.hazards import HazardError
from lpu_backend.isa.instructions import Instruction
from lpu_backend.isa.program import Program
from lpu_backend.machine import Dispatch, run_program

Tensors = Mapping[str, NDArray[Any]]


class MeasurementError(LpuBackendError):
    """A program from which a figure was to be counted did not do what it must."""


@dataclass(frozen=True)
class Case:
    """A program in which something is counted, its inputs, and its outputs by plain numpy."""

    program: Program
    inputs: Tensors
    expect: Callable[[Tensors], Tensors]


class Recording:
    """One run of a case: its dispatches, cycles and outputs."""

    def __init__(self, case: Case, chip: ChipSpec) -> None:
        """Run. HazardError; MeasurementError where an output is not, bit for bit, the expected one."""
        self.dispatches: list[Dispatch] = []
        run = run_program(case.program, case.inputs, chip, observer=self.dispatches.append)
        self.cycles = run.cycles
        self.outputs = run.outputs
        for name, array in case.expect(case.inputs).items():
            if not np.array_equal(run.outputs[name], array):
                raise MeasurementError(f"{case.program.name}: {name} differs from what numpy computes")

    def select(self, *kinds: type[Instruction]) -> list[Dispatch]:
        """The dispatches of these classes of instructions."""
        return [dispatch for dispatch in self.dispatches if isinstance(dispatch.instruction, kinds)]


def count_steadily(
    dispatches: Iterable[Dispatch], cycle_of: Callable[[Dispatch], int] = lambda dispatch: dispatch.cycle
) -> tuple[list[Dispatch], int]:
    """The dispatches of the steady state, and its cycles.

    It begins when the last of the queues has begun, and ends when the first one makes its last dispatch, which is left
    out: so a rate of one dispatch in every two cycles is counted as that. MeasurementError if there is none.
    """
    by_queue: dict[tuple[int, str], list[Dispatch]] = {}
    for dispatch in dispatches:
        by_queue.setdefault((dispatch.chip, dispatch.queue.name), []).append(dispatch)
    if not by_queue:
        raise MeasurementError("nothing was dispatched")
    first_cycle = max(min(map(cycle_of, queue)) for queue in by_queue.values())
    after_cycle = min(max(map(cycle_of, queue)) for queue in by_queue.values())
    if after_cycle <= first_cycle:
        raise MeasurementError("the queues are never all busy at once")
    steady = [each for queue in by_queue.values() for each in queue if first_cycle <= cycle_of(each) < after_cycle]
    return steady, after_cycle - first_cycle


def is_accepted(case: Case, chip: ChipSpec) -> bool:
    """Whether the machine runs a case without a hazard."""
    try:
        run_program(case.program, case.inputs, chip)
    except HazardError:
        return False
    return True


def find_first(accepted: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest number of `low` to `high` that is accepted, where every larger one is too; `high` + 1 if none is."""
    while low <= high:
        middle = (low + high) // 2
        if accepted(middle):
            high = middle - 1
        else:
            low = middle + 1
    return low
