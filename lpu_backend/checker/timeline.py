"""The timeline: every instruction's dispatch cycle, over the barriers and fetched texts of a whole program.

Queues are walked ahead as far as nothing else matters to them. At a Sync, a Notify or the joining of fetched text a
queue waits until every other has come as far, so that all barriers, reads and writes of earlier cycles are known.
"""

import heapq
from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from lpu_backend.checker.fetches import TextError, TextReader
from lpu_backend.checker.issues import Issue
from lpu_backend.checker.queue_walk import QueueWalk
from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa.instructions import Instruction, Notify, Sync
from lpu_backend.isa.program import Program


class Timeline(NamedTuple):
    """What is dispatched, in no order, and what was refused on the way. NOPs and what was refused are left out."""

    issues: list[Issue]
    hazards: list[Hazard]


def trace_timeline(program: Program, chip: ChipSpec) -> Timeline:
    """Walks the queues of each chip; no chip's dispatches depend on another's."""
    timeline = Timeline([], [])
    for chip_index, queues in enumerate(program.queues):
        walk = _ChipWalk(program, chip_index, chip)
        walk.run(queues)
        timeline.issues.extend(walk.issues)
        timeline.hazards.extend(walk.list_hazards())
    return timeline


class _ChipWalk:
    """All queues of one chip, the one that is least far ahead first."""

    def __init__(self, program: Program, chip_index: int, chip: ChipSpec) -> None:
        self.issues: list[Issue] = []
        self._chip_index = chip_index
        self._chip = chip
        self._reader = TextReader(program, chip_index, chip, self.issues)
        self._walks: list[QueueWalk] = []
        self._agenda: list[tuple[int, int]] = []
        self._parked: dict[int, Issue] = {}
        self._release_cycles: list[int] = []

    def run(self, queues: Mapping[str, tuple[Instruction, ...]]) -> None:
        floorplan = plan_floor(self._chip)
        for name, instructions in queues.items():
            queue = floorplan.queues[name]
            self._agenda.append((0, len(self._walks)))
            self._walks.append(QueueWalk(self._chip_index, queue, instructions, self._chip, self.issues))
        while self._agenda:
            now, place = heapq.heappop(self._agenda)
            self._advance(place, now)

    def list_hazards(self) -> list[Hazard]:
        hazards = [hazard for walk in self._walks for hazard in walk.hazards]
        for sync in self._parked.values():
            detail = "no Notify releases it" if not self._release_cycles else "every Notify comes before it"
            hazards.append(sync.hazard(HazardKind.DEADLOCK, sync.cycle, detail))
        return hazards

    def _advance(self, place: int, now: int) -> None:
        """Steps a queue until it parks, ends, or needs what others do in `now` or later."""
        walk = self._walks[place]
        while not walk.is_done and place not in self._parked:
            if (horizon := walk.horizon) > now:
                heapq.heappush(self._agenda, (horizon, place))
                return
            if walk.join_is_due:
                self._join(walk)
            elif (issue := walk.step()) is not None:
                self._meet_barrier(place, issue)

    def _meet_barrier(self, place: int, issue: Issue) -> None:
        if isinstance(issue.instruction, Sync):
            later = bisect_right(self._release_cycles, issue.cycle)
            if later < len(self._release_cycles):
                self._walks[place].cycle = self._release_cycles[later]
            else:
                self._parked[place] = issue
        elif isinstance(issue.instruction, Notify):
            self._release(issue.cycle + self._chip.barrier_cycles)

    def _release(self, release_cycle: int) -> None:
        self._release_cycles.append(release_cycle)
        for place in [place for place, sync in self._parked.items() if sync.cycle < release_cycle]:
            del self._parked[place]
            self._walks[place].cycle = release_cycle
            heapq.heappush(self._agenda, (release_cycle, place))

    def _join(self, walk: QueueWalk) -> None:
        cycle, issue = walk.joins.popleft()
        try:
            walk.join(cycle, issue, self._reader.read(issue))
        except TextError as error:
            walk.hazards.append(issue.hazard(HazardKind.BAD_INSTRUCTION, cycle, str(error)))
