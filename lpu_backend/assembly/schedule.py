"""The instructions of one queue as they are written, and the cycle at which the next will be dispatched."""

from dataclasses import dataclass, field

from lpu_backend.assembly.errors import TextError
from lpu_backend.isa import instructions as isa

MAX_NOP_CYCLES = (1 << 16) - 1


@dataclass
class QueueSchedule:
    """Cycles count from the queue's start, or from the end of its last Sync, Deskew or RuntimeDeskew."""

    instructions: list[isa.Instruction] = field(default_factory=list)
    next_cycle: int = 0
    last_cycle: int = 0

    def append(self, instruction: isa.Instruction) -> None:
        """Add an instruction at `next_cycle`, or a Repeat, which takes no cycle of its own."""
        self.instructions.append(instruction)
        match instruction:
            case isa.Repeat(count=count, distance=distance):
                self.last_cycle += count * distance
                self.next_cycle = self.last_cycle + 1
            case isa.Sync() | isa.Deskew() | isa.RuntimeDeskew():
                self.last_cycle = self.next_cycle = 0
            case isa.Nop(cycles=cycles):
                self.last_cycle = self.next_cycle
                self.next_cycle += cycles
            case _:
                self.last_cycle = self.next_cycle
                self.next_cycle += 1

    def wait_until(self, cycle: int) -> None:
        """Add the NOPs, as few as they can be, that bring `next_cycle` to a cycle. TextError if that is past."""
        if cycle < self.next_cycle:
            raise TextError(f"expected cycle {self.next_cycle} or later, not {cycle}: the queue is past it")
        while (cycles := min(cycle - self.next_cycle, MAX_NOP_CYCLES)) > 0:
            self.append(isa.Nop(cycles))
