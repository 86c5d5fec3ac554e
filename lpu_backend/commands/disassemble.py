"""`disassemble PROGRAM`: the text of a program as it stands in memory."""

import argparse
import sys

from lpu_backend.assembly import disassemble
from lpu_backend.commands.command import Command, add_program
from lpu_backend.commands.loading import load_program


def _disassemble(options: argparse.Namespace) -> int:
    sys.stdout.write(disassemble(load_program(options.program).program))
    return 0


COMMAND = Command("disassemble", "print a program as text, macros and placing worked out", add_program, _disassemble)
