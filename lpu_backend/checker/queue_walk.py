"""One queue's way through its instructions: in which cycle each goes."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lpu_backend.checker.issues import Issue
from lpu_backend.chip import ChipSpec, Queue
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.repetition import iterate
from lpu_backend.isa.validity import find_fault, find_repeat_fault


class Join(NamedTuple):
    """The text that an Ifetch fetches, which joins its queue's end in `cycle`."""

    cycle: int
    issue: Issue


class QueueWalk:
    """A queue as it dispatches. `cycle` is that of its next dispatch; what it dispatches goes to `issues`."""

    def __init__(
        self,
        chip_index: int,
        queue: Queue,
        instructions: Sequence[isa.Instruction],
        chip: ChipSpec,
        issues: list[Issue],
    ) -> None:
        self.queue = queue
        self.cycle = 0
        self.joins: deque[Join] = deque()
        self.hazards: list[Hazard] = []
        self._chip_index = chip_index
        self._chip = chip
        self._waiting = deque(instructions)
        self._tiles = chip.tiles
        self._issues = issues
        self._previous: Issue | None = None
        self._previous_is_sound = False
        if len(instructions) > chip.queue_instructions:
            self._refuse_overflow(self._issue(instructions[chip.queue_instructions]), 0)

    @property
    def is_done(self) -> bool:
        """Nothing left to dispatch, and nothing that will join."""
        return not self._waiting and not self.joins

    @property
    def join_is_due(self) -> bool:
        """Some text joins before, or in, the cycle of the next dispatch."""
        return bool(self.joins) and self.joins[0].cycle <= self.cycle

    @property
    def horizon(self) -> int:
        """The cycle before which all that the chip dispatches must be known for the next step."""
        if self.join_is_due:
            return self.joins[0].cycle
        return self.cycle if self._waiting and isinstance(self._waiting[0], isa.Sync | isa.Notify) else 0

    def join(self, cycle: int, issue: Issue, text: Sequence[isa.Instruction]) -> None:
        """Appends fetched text. An instruction that is dispatched in `cycle` or later still holds its place."""
        self._waiting.extend(text)
        if len(self._waiting) > self._chip.queue_instructions:
            self._refuse_overflow(issue, cycle)

    def step(self) -> Issue | None:
        """Dispatches the next instruction, or refuses it. Gives what it dispatched; None for a NOP or Repeat."""
        if not self._waiting:
            self._wait_for_text()
            return None
        instruction = self._waiting.popleft()
        if isinstance(instruction, isa.Repeat):
            self._repeat(instruction)
            return None
        issue = self._issue(instruction)
        fault = find_fault(instruction, self.queue, self._chip)
        self.cycle += 1
        self._previous, self._previous_is_sound = issue, fault is None
        if fault is not None:
            self._refuse(issue, fault)
            return None
        self._take_control(instruction, issue)
        if isinstance(instruction, isa.Nop):
            return None
        self._issues.append(issue)
        return issue

    def _take_control(self, instruction: isa.Instruction, issue: Issue) -> None:
        """What an instruction does to its own queue, barriers apart."""
        match instruction:
            case isa.Nop(cycles) | isa.RuntimeDeskew(cycles):
                self.cycle = issue.cycle + cycles
            case isa.Config(superlanes):
                self._tiles = superlanes
            case isa.Deskew():
                period_cycles = self._chip.hac_period_cycles
                self.cycle = (issue.cycle // period_cycles + 1) * period_cycles
            case isa.Ifetch():
                self.joins.append(Join(issue.cycle + self._chip.timing("Ifetch").func, issue))

    def _repeat(self, repeat: isa.Repeat) -> None:
        """The iterations after the first become an issue of their own; the Repeat's place is free a cycle after."""
        before = self._previous
        fault = find_fault(repeat, self.queue, self._chip) or find_repeat_fault(before.instruction if before else None)
        if fault is not None or before is None:
            self._refuse(self._issue(repeat), fault or "")
            return
        self.cycle = before.cycle + repeat.count * repeat.distance + 1
        self._previous = self._issue(repeat)
        if self._previous_is_sound:
            again, start = iterate(before.instruction, 1), before.cycle + repeat.distance
            self._issues.append(
                replace(before, instruction=again, cycle=start, count=repeat.count, distance=repeat.distance)
            )

    def _wait_for_text(self) -> None:
        join = self.joins[0]
        detail = f"the text of the Ifetch of cycle {join.issue.cycle} joins in cycle {join.cycle}"
        self.hazards.append(join.issue.hazard(HazardKind.QUEUE_UNDERFLOW, self.cycle, detail))
        self.cycle = join.cycle

    def _refuse_overflow(self, issue: Issue, cycle: int) -> None:
        detail = f"{len(self._waiting)} instructions, {self._chip.queue_instructions} fit"
        self.hazards.append(issue.hazard(HazardKind.QUEUE_OVERFLOW, cycle, detail))

    def _refuse(self, issue: Issue, fault: str) -> None:
        self.hazards.append(issue.hazard(HazardKind.BAD_INSTRUCTION, issue.cycle, fault))

    def _issue(self, instruction: isa.Instruction) -> Issue:
        return Issue(self._chip_index, self.queue, instruction, self.cycle, self._tiles)
