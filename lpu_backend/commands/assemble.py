"""`assemble PROGRAM`: whether a text is a program, and how large."""

import argparse

from lpu_backend.commands.command import Command, add_program, format_table, write_line
from lpu_backend.commands.loading import list_regions, load_program
from lpu_backend.isa.instructions import Nop
from lpu_backend.isa.program import Program


def _assemble(options: argparse.Namespace) -> int:
    program = load_program(options.program).program
    write_line(f"{program.name} assembles")
    for line in format_table(("", "count"), [(name, f"{count:,}") for name, count in _count(program)], right=(1,)):
        write_line(line)
    return 0


def _count(program: Program) -> list[tuple[str, int]]:
    queues = [queue for chip in program.queues for queue in chip.values()]
    words = [instruction for queue in queues for instruction in queue]
    return [
        ("chips", program.chips),
        ("queues", len(queues)),
        ("instruction words", len(words)),
        ("of them NOPs", sum(isinstance(word, Nop) for word in words)),
        ("words in the longest queue", max((len(queue) for queue in queues), default=0)),
        ("words in SRAM for Ifetch", sum(len(text.instructions) for text in program.texts)),
        *((f"{kind}s", len(list(list_regions(program, kind)))) for kind in ("input", "output", "constant")),
        ("links", len(program.links)),
    ]


COMMAND = Command("assemble", "check a text and count what is in it", add_program, _assemble)
