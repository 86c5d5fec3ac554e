"""One instruction queue: what it dispatches, and in which cycle the next one goes."""

from collections import deque
from collections.abc import Iterable

from lpu_backend.assembly import format_instruction
from lpu_backend.chip import ChipSpec, Queue
from lpu_backend.hazards import Hazard, HazardError, HazardKind
from lpu_backend.isa.instructions import Config, Instruction, Nop, Repeat
from lpu_backend.isa.repetition import iterate
from lpu_backend.isa.validity import NOT_REPEATABLE, find_fault
from lpu_backend.machine.issue import Issue


class Sequencer:
    """Cycles are those of the chip's program counter. `fetching` counts Ifetches whose text has not joined yet."""

    def __init__(self, spec: ChipSpec, chip: int, queue: Queue, instructions: Iterable[Instruction]) -> None:
        self._spec = spec
        self._chip = chip
        self.queue = queue
        self.fetching = 0
        self._superlanes = spec.tiles
        self._pending: deque[Instruction] = deque()
        self._last: tuple[Instruction, int] | None = None
        self._repeat: Repeat | None = None
        self._iteration = 0
        self.extend(instructions, 0)

    def extend(self, instructions: Iterable[Instruction], cycle: int) -> None:
        """More instructions behind those that wait. QUEUE_OVERFLOW, BAD_INSTRUCTION."""
        for instruction in instructions:
            fault = find_fault(instruction, self.queue, self._spec)
            if fault is not None:
                raise self._refuse(HazardKind.BAD_INSTRUCTION, cycle, instruction, fault)
            self._pending.append(instruction)
        if len(self._pending) > self._spec.queue_instructions:
            detail = f"{len(self._pending)} instructions, the queue holds {self._spec.queue_instructions}"
            raise self._refuse(HazardKind.QUEUE_OVERFLOW, cycle, self._pending[-1], detail)

    def step(self, cycle: int) -> tuple[Issue | None, int | None]:
        """What is dispatched in this cycle, and the cycle of the next step; None for nothing."""
        if self._repeat is not None:
            return self._step_repeat(self._repeat, cycle)
        if not self._pending:
            if self.fetching:
                raise self._refuse(HazardKind.QUEUE_UNDERFLOW, cycle, Nop(1), "the next instructions have not come yet")
            return None, None
        instruction = self._pending.popleft()
        if isinstance(instruction, Nop):
            self._last = None
            return None, cycle + instruction.cycles
        if isinstance(instruction, Repeat):
            return self._begin_repeat(instruction, cycle)
        self._last = (instruction, cycle) if type(instruction) not in NOT_REPEATABLE else None
        issue = Issue(self.queue, instruction, cycle, self._superlanes)
        if isinstance(instruction, Config):
            self._superlanes = instruction.superlanes
        return issue, cycle + 1

    def _begin_repeat(self, repeat: Repeat, cycle: int) -> tuple[Issue | None, int]:
        if self._last is None:
            detail = "it must come right after an instruction that works on data"
            raise self._refuse(HazardKind.BAD_INSTRUCTION, cycle, repeat, detail)
        self._repeat, self._iteration = repeat, 0
        first_cycle = self._last[1] + repeat.distance
        return self._step_repeat(repeat, cycle) if first_cycle == cycle else (None, first_cycle)

    def _step_repeat(self, repeat: Repeat, cycle: int) -> tuple[Issue, int]:
        assert self._last is not None  # noqa: S101  set when the repeat began
        self._iteration += 1
        issue = Issue(self.queue, iterate(self._last[0], self._iteration), cycle, self._superlanes)
        if self._iteration < repeat.count:
            return issue, cycle + repeat.distance
        self._repeat = self._last = None
        return issue, cycle + 1

    def _refuse(self, kind: HazardKind, cycle: int, instruction: Instruction, detail: str) -> HazardError:
        text = format_instruction(instruction)
        return HazardError(Hazard(kind, self._chip, cycle, self.queue.name, text, detail))
