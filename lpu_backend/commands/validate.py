"""`validate`: published figures beside those that programs reach here."""

import argparse
import json
import sys
from dataclasses import asdict

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.commands.command import Command, format_table, write_line
from lpu_backend.validation import PUBLISHED, Row, differs, validate

_HEAD = ("figure", "source", "published", "emulated", "unit", "error", "used for", "")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def _validate(options: argparse.Namespace) -> int:
    return report(GROQCHIP1, as_json=options.json)


def report(chip: ChipSpec, *, as_json: bool) -> int:
    """Print the table of a chip; 1 if an exact row differs."""
    rows = []
    for row in validate(chip):
        rows.append(row)
        _show_progress(len(rows))
    differing = sum(map(differs, rows))
    if as_json:
        write_line(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        for line in format_table(_HEAD, [_format(row) for row in rows], right=(2, 3, 5)):
            write_line(line)
        exact = sum(row.used_for == "exact" for row in rows)
        write_line(f"{exact} exact rows, {differing} differ; compared at the digits that are published")
    return int(differing > 0)


def _show_progress(done: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {len(PUBLISHED)} figures" if done < len(PUBLISHED) else "\r\033[K")
        sys.stderr.flush()


def _format(row: Row) -> tuple[str, ...]:
    published = row.published if isinstance(row.published, tuple) else (row.published,)
    emulated = "-" if row.emulated is None else _format_number(row.emulated)
    error = "-" if row.error is None else f"{row.error:+.2%}" if row.error else "0"
    mark = "" if row.agrees else "DIFFERS" if differs(row) else "differs"
    return (
        row.name,
        row.source,
        " to ".join(map(_format_number, published)),
        emulated,
        row.unit,
        error,
        row.used_for,
        f"{mark} {row.reason}".strip(),
    )


def _format_number(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,.6g}"


COMMAND = Command("validate", "print published figures beside emulated ones", _add_arguments, _validate)
