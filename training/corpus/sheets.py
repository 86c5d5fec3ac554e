"""Reads the question sheets in `texts/`: plain text files of questions and answers in the grammar's notation.

A sheet is a sequence of blocks. `## name` opens a block, each `Q:` line is one way to ask, each `A:` line one way to
answer. `?Q:` and `?A:` lines give a second exchange that only makes sense after the first. Lines that
start with `#` and a space are comments.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from training.corpus.exchange import Exchange
from training.corpus.grammar import expand

_TEXTS = Path(__file__).parent / "texts"
_FOLLOW_UP_RATE = 0.3


@dataclass
class Block:
    """One subject: ways to ask, ways to answer, and what may be asked next."""

    name: str
    lines: dict[str, list[str]] = field(default_factory=lambda: {"Q": [], "A": [], "?Q": [], "?A": []})

    def draw(self, rng: Random) -> list[Exchange]:
        exchanges = [self._draw_pair(rng, "Q", "A")]
        if self.lines["?Q"] and rng.random() < _FOLLOW_UP_RATE:
            exchanges.append(self._draw_pair(rng, "?Q", "?A"))
        return exchanges

    def _draw_pair(self, rng: Random, asking: str, answering: str) -> Exchange:
        question = expand(rng.choice(self.lines[asking]), rng)
        return Exchange(question, expand(rng.choice(self.lines[answering]), rng))


class SheetError(ValueError):
    """A question sheet has a line that is none of the known kinds, or a block without questions or answers."""


@cache
def read_sheet(name: str) -> tuple[Block, ...]:
    """The blocks of `texts/NAME.txt`, in order."""
    blocks: list[Block] = []
    for line in (_TEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        take_line(line.strip(), blocks)
    for block in blocks:
        if not (block.lines["Q"] and block.lines["A"]) or bool(block.lines["?Q"]) != bool(block.lines["?A"]):
            raise SheetError(f"{name}: block {block.name!r} lacks questions or answers")
    return tuple(blocks)


def draw_from_sheet(name: str, rng: Random) -> list[Exchange]:
    """A conversation about one block of the sheet, each block as likely as any other."""
    return rng.choice(read_sheet(name)).draw(rng)


def take_line(line: str, blocks: list[Block]) -> None:
    """Adds one line of a sheet to the block it belongs to. Raises SheetError."""
    if not line or line.startswith("# "):
        return
    if line.startswith("## "):
        blocks.append(Block(line.removeprefix("## ")))
        return
    kind, _, text = line.partition(":")
    if not blocks or kind not in blocks[-1].lines or not text.strip():
        raise SheetError(f"cannot read {line!r}")
    blocks[-1].lines[kind].append(text.strip())
