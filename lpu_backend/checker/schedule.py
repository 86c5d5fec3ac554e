"""The check of a program: every rule of docs/chip.md that does not depend on data, and the exact cycle count."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lpu_backend.checker.accesses import list_stream_events
from lpu_backend.checker.issues import Issue, IssueTable
from lpu_backend.checker.links import list_link_hazards
from lpu_backend.checker.memory import list_memory_hazards
from lpu_backend.checker.mxm import list_mxm_hazards
from lpu_backend.checker.streams import StreamFlow, list_stream_hazards, trace_flow
from lpu_backend.checker.timeline import trace_timeline
from lpu_backend.checker.vxm import list_vxm_hazards
from lpu_backend.chip import GROQCHIP1, ChipSpec, Queue, plan_floor
from lpu_backend.hazards import Hazard, HazardError
from lpu_backend.isa.instructions import Instruction
from lpu_backend.isa.operations import name_operation
from lpu_backend.isa.program import Program
from lpu_backend.isa.repetition import iterate


class ScheduledDispatch(NamedTuple):
    """One instruction as a queue of a chip dispatches it in a cycle of the southernmost tile."""

    chip: int
    cycle: int
    queue: Queue
    instruction: Instruction


@dataclass(frozen=True)
class Schedule:
    """When a program does what. All cycles are those of the southernmost tile.

    `cycles` is the time until the chip (the last, of several) is done; `dispatched` counts instructions, NOPs left out
    and each iteration of a Repeat counted. `table` has the dispatches, `flow` what drives and what samples each stream.
    """

    cycles: int
    dispatched: int
    table: IssueTable
    flow: StreamFlow

    def dispatches(self) -> Iterator[ScheduledDispatch]:
        """Every dispatch in the order of (cycle, chip, queue)."""
        spread = self.table.spread(range(len(self.table)))
        queues = np.array([issue.queue.index for issue in self.table], dtype=np.int64)[spread.issue]
        order = np.lexsort((queues, self.table.chip[spread.issue], spread.dispatch_cycle))
        columns = (spread.issue[order], spread.iteration[order], spread.dispatch_cycle[order])
        for row, iteration, cycle in zip(*(column.tolist() for column in columns), strict=True):
            issue = self.table.issues[row]
            yield ScheduledDispatch(issue.chip, cycle, issue.queue, iterate(issue.instruction, iteration))


def list_hazards(program: Program, chip: ChipSpec = GROQCHIP1) -> list[Hazard]:
    """Every hazard of a program in the order of (cycle, chip, queue), as far as they do not depend on data.

    The regions and texts must lie as `isa.placement` asks. What is refused is left out of all later checks, so the
    hazards after the first may be its consequences.
    """
    return _check(program, chip)[1]


def check_program(program: Program, chip: ChipSpec = GROQCHIP1) -> Schedule:
    """The schedule of a program that has no hazard; HazardError with the first of `list_hazards` for any other."""
    schedule, hazards = _check(program, chip)
    if hazards:
        raise HazardError(hazards[0])
    return schedule


def _check(program: Program, chip: ChipSpec) -> tuple[Schedule, list[Hazard]]:
    timeline = trace_timeline(program, chip)
    table = IssueTable(timeline.issues)
    samples, drives = list_stream_events(table, chip)
    flow = trace_flow(samples, drives, chip)
    hazards = [
        *timeline.hazards,
        *list_stream_hazards(table, flow, chip),
        *list_memory_hazards(program, table, chip),
        *list_vxm_hazards(table, chip),
        *list_mxm_hazards(table, chip),
        *list_link_hazards(program, table, chip),
    ]
    queues = plan_floor(chip).queues
    hazards.sort(key=lambda hazard: (hazard.cycle, hazard.chip, queues[hazard.queue].index))
    return Schedule(_count_cycles(table, flow, chip), int(table.count.sum()), table, flow), hazards


def _count_cycles(table: IssueTable, flow: StreamFlow, chip: ChipSpec) -> int:
    """`tiles` after the last dispatch, operand or drive of a stream; 0 for a program that dispatches nothing."""
    if not len(table):
        return 0
    last_operand = max(issue.dispatch_cycles()[-1] + _skew_cycles(issue, chip) for issue in table)
    last = max(last_operand, int(flow.samples.cycle.max(initial=0)), int(flow.drives.cycle.max(initial=0)))
    return last + chip.tiles


def _skew_cycles(issue: Issue, chip: ChipSpec) -> int:
    """An ALU takes its operands at its d_skew even if none is a stream."""
    return chip.timing(name_operation(issue.instruction)).skew
