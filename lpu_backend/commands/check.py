"""`check PROGRAM`: hazards, found without running."""

import argparse

from lpu_backend.checker import check_program, list_hazards
from lpu_backend.commands.command import Command, add_program, write_line
from lpu_backend.commands.loading import load_program


def _check(options: argparse.Namespace) -> int:
    program = load_program(options.program).program
    hazards = list_hazards(program)
    for hazard in hazards:
        write_line(str(hazard))
    if hazards:
        write_line(f"{program.name}: {len(hazards):,} hazard(s)")
        return 1
    schedule = check_program(program)
    write_line(f"{program.name}: no hazards; {schedule.cycles:,} cycles, {schedule.dispatched:,} instructions")
    return 0


COMMAND = Command("check", "list a program's hazards without running it", add_program, _check)
