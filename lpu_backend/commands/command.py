"""What every command is made of."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """`run` writes to stdout and returns the exit status; errors are raised."""

    name: str
    purpose: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class UsageError(Exception):
    """What was asked for cannot be: a file that is not there, an unknown name. Exit status 2."""


def add_program(parser: argparse.ArgumentParser) -> None:
    """The argument that names a program."""
    parser.add_argument(
        "program", metavar="PROGRAM", help="an example's name (see `programs`) or a path of a .lpu file"
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The seed of random inputs."""
    parser.add_argument("--seed", type=_parse_seed, default=0, metavar="N", help="of the random inputs (default 0)")


def _parse_seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 on")
    return int(text)


def add_nothing(_parser: argparse.ArgumentParser) -> None:
    """For a command without arguments."""


def write_line(text: str = "") -> None:
    """One line on stdout."""
    sys.stdout.write(f"{text}\n")


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of aligned columns; those whose places are in `right` are numbers and end together."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(_align(line, widths, right)).rstrip() for line in lines]


def _align(line: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
