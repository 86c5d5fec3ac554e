"""From the text to its plain lines: comments, continued lines, `.let`, `.for` and `{expression}`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lpu_backend.assembly.errors import AssemblyError, TextError, at_line
from lpu_backend.assembly.expressions import evaluate_integer

MAX_LINES = 1_000_000
"""Lines after all loops are written out (two of the 144 queues' capacity would be enough many times over)."""
MAX_DEPTH = 16
RESERVED_NAMES = frozenset({"row", "lane", "min", "max"})

_LET = re.compile(r"\.let\s+([A-Za-z_]\w*)\s*=\s*(.+)")
_FOR = re.compile(r"\.for\s+([A-Za-z_]\w*)\s*=\s*(.+?)\s+to\s+(.+)")
_BRACES = re.compile(r"\{([^{}]*)\}")


class Line(NamedTuple):
    """One plain line, where its text began (from 1), and the names in scope there."""

    number: int
    text: str
    names: dict[str, int]


class _Source(NamedTuple):
    number: int
    text: str


@dataclass
class _Loop:
    number: int
    header: str
    body: "list[_Source | _Loop]" = field(default_factory=list)


def expand_lines(text: str) -> Iterator[Line]:
    """The lines of a text that say something, loops written out. AssemblyError names the line of what is wrong.

    The names of a line are right only until the next line is asked for.
    """
    return _Expansion().expand(_nest(_join_lines(text)))


def _join_lines(text: str) -> Iterator[_Source]:
    """Lines without comments and blanks, those that end in a backslash together with the next."""
    parts: list[str] = []
    begin = 1
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.partition(";")[0].strip()
        begin = begin if parts else number
        parts.append(bare.removesuffix("\\"))
        if not bare.endswith("\\"):
            if joined := " ".join(parts).strip():
                yield _Source(begin, joined)
            parts = []
    if joined := " ".join(parts).strip():
        yield _Source(begin, joined)


def _nest(lines: Iterator[_Source]) -> list[_Source | _Loop]:
    outermost: list[_Source | _Loop] = []
    loops: list[_Loop] = []
    for line in lines:
        body = loops[-1].body if loops else outermost
        word = line.text.split(maxsplit=1)[0]
        if word == ".for":
            loops.append(_Loop(line.number, line.text))
            body.append(loops[-1])
            if len(loops) > MAX_DEPTH:
                raise AssemblyError(line.number, f"expected at most {MAX_DEPTH} loops in one another")
        elif word == ".end":
            if not loops:
                raise AssemblyError(line.number, "expected a .for before .end")
            loops.pop()
        else:
            body.append(line)
    if loops:
        raise AssemblyError(loops[-1].number, "expected an .end after .for")
    return outermost


class _Expansion:
    """The names in scope, and how many lines there were so far."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.lines = 0

    def expand(self, items: list[_Source | _Loop]) -> Iterator[Line]:
        for item in items:
            self.count(item.number)
            if isinstance(item, _Loop):
                yield from self.repeat(item)
            elif item.text.split(maxsplit=1)[0] == ".let":
                with at_line(item.number):
                    self.define(item.text)
            else:
                yield self.substitute(item)

    def count(self, number: int) -> None:
        self.lines += 1
        if self.lines > MAX_LINES:
            raise AssemblyError(number, f"expected at most {MAX_LINES:,} lines when all loops are written out")

    def repeat(self, loop: _Loop) -> Iterator[Line]:
        with at_line(loop.number):
            name, values = self.parse_loop(loop.header)
        hidden = self.names.get(name)
        for value in values:
            self.count(loop.number)
            self.names[name] = value
            yield from self.expand(loop.body)
        self.names.pop(name, None)
        if hidden is not None:
            self.names[name] = hidden

    def parse_loop(self, header: str) -> tuple[str, range]:
        if not (match := _FOR.fullmatch(header)):
            raise TextError("expected `.for NAME = FIRST to LAST`")
        _check_name(match[1])
        return match[1], range(evaluate_integer(match[2], self.names), evaluate_integer(match[3], self.names) + 1)

    def define(self, text: str) -> None:
        if not (match := _LET.fullmatch(text)):
            raise TextError("expected `.let NAME = EXPRESSION`")
        _check_name(match[1])
        self.names[match[1]] = evaluate_integer(match[2], self.names)

    def substitute(self, source: _Source) -> Line:
        if "{" not in source.text:
            return Line(source.number, source.text, self.names)
        with at_line(source.number):
            text = _BRACES.sub(lambda match: str(evaluate_integer(match[1], self.names)), source.text)
            return Line(source.number, text, self.names)


def _check_name(name: str) -> None:
    if name in RESERVED_NAMES:
        raise TextError(f"expected another name than `{name}`")
