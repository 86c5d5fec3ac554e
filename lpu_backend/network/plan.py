"""What a collective consists of, and how its stages are put on the links."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lpu_backend.network.schedule import Scheduler
from lpu_backend.network.timing import NetworkTiming
from lpu_backend.network.topology import Topology
from lpu_backend.network.transfers import Schedule, Transfer


class Value(NamedTuple):
    """Row `row` of: at level 0 the tensor of chip `index`, at 1 the sum of node `index`, at 2 the sum of all nodes."""

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a value
    row: int


class Payload(NamedTuple):
    """What a transfer carries: the bytes `plane` (0: the lowest) of a value's elements."""

    value: Value
    plane: int


class Move(NamedTuple):
    """A value from a chip that has it to others, straight or by way of one chip."""

    value: Value
    source: int
    destinations: tuple[int, ...]
    via: int | None = None


class Reduction(NamedTuple):
    """From `start_cycle` on a chip has all terms; in `ready_cycle` it has their sum.

    They are added in pairs, neighbours first: ((t0 + t1) + (t2 + t3)) + ..., an odd one out waits for the next round.
    """

    start_cycle: int
    ready_cycle: int
    chip: int
    terms: tuple[Value, ...]
    result: Value


@dataclass(frozen=True)
class Collective:
    """A scheduled collective. `payloads` has an entry a transfer; `results` the values that each chip ends with."""

    name: str
    topology: Topology
    timing: NetworkTiming
    rows: int
    vectors_per_row: int
    schedule: Schedule
    payloads: tuple[Payload, ...]
    reductions: tuple[Reduction, ...]
    results: tuple[tuple[Value, ...], ...]
    finish_cycle: int


class CollectivePlan:
    """A collective under way: which chip has which value from which cycle on. All have their own tensors from 0 on."""

    def __init__(self, topology: Topology, timing: NetworkTiming, rows: int, vectors_per_row: int) -> None:
        self.topology = topology
        self._timing = timing
        self._rows = rows
        self._vectors_per_row = vectors_per_row
        self._scheduler = Scheduler(topology, timing)
        self._payloads: list[Payload] = []
        self._reductions: list[Reduction] = []
        self._since_cycles: dict[tuple[int, Value], int] = {}
        self._received: set[tuple[int, Value]] = set()

    def since(self, chip: int, value: Value) -> int:
        """The cycle from which a chip has a value. KeyError if it never has."""
        return 0 if value[:2] == (0, chip) else self._since_cycles[chip, value]

    def move(self, moves: Iterable[Move]) -> None:
        """Put moves on the links, those that can go first first; else in their order."""
        for move in sorted(moves, key=lambda move: self.since(move.source, move.value)):
            earliest_cycle = self.since(move.source, move.value)
            if (move.source, move.value) in self._received:
                # It may have to leave at the chip's other side.
                earliest_cycle += self._timing.crossing_cycles
            for plane in range(self._vectors_per_row):
                arrivals = self._scheduler.move(Transfer(move.source, move.destinations, earliest_cycle), move.via)
                self._payloads.append(Payload(move.value, plane))
                self._received.update((chip, move.value) for chip in move.destinations)
                for chip in move.destinations:
                    known_cycle = self._since_cycles.get((chip, move.value), 0)
                    self._since_cycles[chip, move.value] = max(known_cycle, arrivals[chip])

    def reduce(self, chip: int, terms: Sequence[Value], result: Value) -> None:
        """Add terms as soon as the chip has them all."""
        start_cycle = max(self.since(chip, term) for term in terms)
        ready_cycle = start_cycle + self._timing.reduction_cycles
        self._reductions.append(Reduction(start_cycle, ready_cycle, chip, tuple(terms), result))
        self._since_cycles[chip, result] = ready_cycle

    def finish(self, name: str, results: Sequence[tuple[Value, ...]]) -> Collective:
        """The collective, at whose end each chip has its results."""
        finish_cycle = max((self.since(chip, value) for chip, held in enumerate(results) for value in held), default=0)
        return Collective(
            name,
            self.topology,
            self._timing,
            self._rows,
            self._vectors_per_row,
            self._scheduler.finish(),
            tuple(self._payloads),
            tuple(self._reductions),
            tuple(results),
            finish_cycle,
        )
