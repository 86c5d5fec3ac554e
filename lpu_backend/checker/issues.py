"""Issues: which instruction goes when and how often, the one table that every check starts from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lpu_backend.assembly import format_instruction
from lpu_backend.chip import Queue
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa.instructions import Instruction
from lpu_backend.isa.repetition import iterate

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Issue:
    """An instruction dispatched at `cycle` + k `distance` for each k below `count`, in the southernmost `tiles`."""

    chip: int
    queue: Queue
    instruction: Instruction
    cycle: int
    tiles: int
    count: int = 1
    distance: int = 1

    def dispatch_cycles(self) -> range:
        """Every cycle in which it goes."""
        return range(self.cycle, self.cycle + self.count * self.distance, self.distance)

    def describe(self, iteration: int = 0) -> str:
        """Which queue dispatches what in which cycle, for the detail of a hazard."""
        text = format_instruction(iterate(self.instruction, iteration))
        return f"{self.queue.name} `{text}` of cycle {self.cycle + iteration * self.distance}"

    def hazard(self, kind: HazardKind, cycle: int, detail: str, iteration: int = 0) -> Hazard:
        """A hazard of this issue's given iteration."""
        text = format_instruction(iterate(self.instruction, iteration))
        return Hazard(kind, self.chip, cycle, self.queue.name, text, detail)


@dataclass(frozen=True)
class Spread:
    """What comes of expanding some entries of issues: one row for each iteration and each part.

    `entry` is the index of the entry, `issue` that of its issue, `part` counts from 0 to the entry's width - 1.
    """

    entry: IntArray
    issue: IntArray
    iteration: IntArray
    part: IntArray
    dispatch_cycle: IntArray


class Events(Protocol):
    """Columns of what happens in some cycle because of an iteration of an issue, a row each."""

    @property
    def issue(self) -> IntArray: ...

    @property
    def iteration(self) -> IntArray: ...

    @property
    def cycle(self) -> IntArray: ...


class IssueTable:
    """The issues of a program in the order of (cycle, chip, queue), and their numbers as columns."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(sorted(issues, key=lambda issue: (issue.cycle, issue.chip, issue.queue.index)))
        self.chip = self._column([issue.chip for issue in self.issues])
        self.position = self._column([issue.queue.position for issue in self.issues])
        self.cycle = self._column([issue.cycle for issue in self.issues])
        self.count = self._column([issue.count for issue in self.issues])
        self.distance = self._column([issue.distance for issue in self.issues])
        self.tiles = self._column([issue.tiles for issue in self.issues])

    @staticmethod
    def _column(numbers: Sequence[int]) -> IntArray:
        return np.array(numbers, dtype=np.int64)

    def spread(self, issue: Sequence[int], width: Sequence[int] | None = None) -> Spread:
        """Expands entries, each of one issue and `width` parts (1 if None), over the iterations of their issues."""
        issues = self._column(issue)
        widths = np.ones_like(issues) if width is None else self._column(width)
        rows = self.count[issues] * widths
        entry: IntArray = np.repeat(np.arange(len(issues)), rows)
        within = np.arange(len(entry)) - np.repeat(np.cumsum(rows) - rows, rows)
        iteration, part = within // widths[entry], within % widths[entry]
        owner = issues[entry]
        return Spread(entry, owner, iteration, part, self.cycle[owner] + iteration * self.distance[owner])

    def refuse(self, events: Events, row: int, kind: HazardKind, detail: str) -> Hazard:
        """A hazard of one row of events, in its cycle."""
        issue = self.issues[int(events.issue[row])]
        return issue.hazard(kind, int(events.cycle[row]), detail, int(events.iteration[row]))

    def describe(self, events: Events, row: int) -> str:
        """Which dispatch made one row of events."""
        return self.issues[int(events.issue[row])].describe(int(events.iteration[row]))

    def __iter__(self) -> Iterator[Issue]:
        return iter(self.issues)

    def __len__(self) -> int:
        return len(self.issues)
