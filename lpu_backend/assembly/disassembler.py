"""From program to text."""

from collections.abc import Iterable, Iterator

from lpu_backend.assembly.forms import format_instruction
from lpu_backend.assembly.regions import format_region
from lpu_backend.assembly.schedule import QueueSchedule
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.program import Program


def disassemble(program: Program) -> str:
    """A text that assembles, for the same chip, to an equal program.

    An instruction after a NOP is printed with its cycle in the NOP's place. A program that `assemble` would refuse is
    printed too, so that it can be looked at.
    """
    return "\n".join(_list_lines(program)) + "\n"


def _list_lines(program: Program) -> Iterator[str]:
    yield f".program {program.name}"
    for link in program.links:
        yield f".link {link.chip_a}.{link.link_a} {link.chip_b}.{link.link_b}"
    chip = 0
    for region in program.regions:
        yield from _change_chip(chip, region.chip)
        chip = region.chip
        yield format_region(region)
    for text in program.texts:
        yield from _change_chip(chip, text.chip)
        chip = text.chip
        yield f".text {text.name} {text.slice_name} {text.address:#x}"
        yield from _list_instructions(text.instructions)
    for number, queues in enumerate(program.queues):
        yield from _change_chip(chip, number)
        chip = number
        for name, instructions in queues.items():
            yield f"queue {name}"
            yield from _list_instructions(instructions)


def _change_chip(before: int, after: int) -> Iterator[str]:
    if before != after:
        yield f".chip {after}"


def _list_instructions(instructions: Iterable[isa.Instruction]) -> Iterator[str]:
    schedule = QueueSchedule()
    waiting: isa.Nop | None = None
    for instruction in instructions:
        if waiting and isinstance(instruction, isa.Nop | isa.Repeat):
            yield _format_line("", waiting)
            waiting = None
        cycle = f"@{schedule.next_cycle}" if waiting else ""
        schedule.append(instruction)
        if isinstance(instruction, isa.Nop):
            waiting = instruction
        else:
            waiting = None
            yield _format_line(cycle, instruction)
    if waiting:
        yield _format_line("", waiting)


def _format_line(cycle: str, instruction: isa.Instruction) -> str:
    """Instructions stand in one column: cycles have up to seven places."""
    return f"{cycle:7} {format_instruction(instruction)}"
