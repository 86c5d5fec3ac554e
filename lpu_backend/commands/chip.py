"""`chip`: every figure of the specification with its standing and source."""

import argparse
import json

from lpu_backend.chip import GROQCHIP1, OPERATION_TIMINGS, list_figures
from lpu_backend.commands.command import Command, format_table, write_line


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def _show(options: argparse.Namespace) -> int:
    if options.json:
        write_line(json.dumps(_collect(), indent=1, ensure_ascii=False))
        return 0
    write_line(GROQCHIP1.name)
    figures = [(figure.name, figure.value, figure.standing, figure.source) for figure in list_figures(GROQCHIP1)]
    for line in format_table(("figure", "value", "standing", "source"), figures, right=(1,)):
        write_line(line)
    write_line()
    write_line("Cycles of each operation: dispatch to result, dispatch to operands, between two of one unit")
    timings = [
        (name, str(timing.func), str(timing.skew), str(timing.interval), timing.standing, timing.source)
        for name, timing in OPERATION_TIMINGS.items()
    ]
    for line in format_table(
        ("operation", "d_func", "d_skew", "interval", "standing", "source"), timings, right=(1, 2, 3)
    ):
        write_line(line)
    return 0


def _collect() -> dict[str, object]:
    figures = [
        {
            "name": figure.name,
            "value": getattr(GROQCHIP1, figure.name),
            "standing": figure.standing,
            "source": figure.source,
        }
        for figure in list_figures(GROQCHIP1)
    ]
    operations = [
        {
            "name": name,
            "func_cycles": timing.func,
            "skew_cycles": timing.skew,
            "interval_cycles": timing.interval,
            "standing": timing.standing,
            "source": timing.source,
        }
        for name, timing in OPERATION_TIMINGS.items()
    ]
    return {"name": GROQCHIP1.name, "figures": figures, "operations": operations}


COMMAND = Command("chip", "print every figure of the chip with its source", _add_arguments, _show)
