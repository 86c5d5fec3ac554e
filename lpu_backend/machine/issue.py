"""One dispatch of one instruction, as the units and the error messages know it."""

from collections.abc import Callable
from typing import NamedTuple

from lpu_backend.assembly import format_instruction
from lpu_backend.chip import Queue
from lpu_backend.isa.instructions import Instruction


class Dispatch(NamedTuple):
    """What an observer is told of: every instruction but NOP, each iteration of a Repeat with its stepped operands."""

    chip: int
    cycle: int
    queue: Queue
    instruction: Instruction


Observer = Callable[[Dispatch], None]


class Issue(NamedTuple):
    """An instruction under way: dispatched at `cycle`, with `superlanes` tiles powered."""

    queue: Queue
    instruction: Instruction
    cycle: int
    superlanes: int

    def __str__(self) -> str:
        return f"{self.queue.name} `{format_instruction(self.instruction)}` of cycle {self.cycle}"
