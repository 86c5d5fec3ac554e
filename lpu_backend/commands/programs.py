"""`programs`: the examples."""

import argparse

from lpu_backend.chip import GROQCHIP1
from lpu_backend.commands.command import Command, add_nothing, format_table, write_line
from lpu_backend.programs.catalogue import EXAMPLES


def _list(_options: argparse.Namespace) -> int:
    rows = [
        (name, f"{example.cycles:,}", f"{example.cycles / GROQCHIP1.clock_hz * 1e6:,.3f}")
        for name, example in EXAMPLES.items()
    ]
    for line in format_table(("program", "cycles", "µs"), rows, right=(1, 2)):
        write_line(line)
    return 0


COMMAND = Command("programs", "list the example programs", add_nothing, _list)
