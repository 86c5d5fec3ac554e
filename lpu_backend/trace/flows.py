"""The way of every vector on the streams, from its producer to the last slice that samples it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from lpu_backend.checker.accesses import StreamUse, stream_uses
from lpu_backend.chip import ChipSpec
from lpu_backend.isa.operands import Direction
from lpu_backend.machine import Dispatch

_Lane = tuple[int, Direction, int, int]  # chip, direction, stream, and the diagonal on which the vector moves


class Band(NamedTuple):
    """Vectors driven at `position` in `first_cycle` to `last_cycle`, each on `streams` streams, as far as `end`."""

    chip: int
    direction: Direction
    position: int
    end: int
    streams: int
    first_cycle: int
    last_cycle: int


class Flows:
    """Drives and samples by the diagonal that they lie on: cycle - position going east, cycle + position going west."""

    def __init__(self, chip: ChipSpec) -> None:
        self._chip = chip
        self._drives: defaultdict[_Lane, set[int]] = defaultdict(set)
        self._samples: defaultdict[_Lane, set[int]] = defaultdict(set)

    def add(self, dispatch: Dispatch) -> None:
        """Note the streams that a dispatched instruction samples and drives."""
        uses = stream_uses(dispatch.instruction, self._chip)
        for use in uses.samples:
            self._note(self._samples, dispatch, use)
        for use in uses.drives:
            self._note(self._drives, dispatch, use)

    def list_bands(self, chip: int) -> list[Band]:
        """The vectors of one chip; those of neighbouring cycles that go the same way are one band."""
        ways: Counter[tuple[Direction, int, int, int]] = Counter()
        for lane, drives in self._drives.items():
            if lane[0] == chip:
                for position, end in _follow(lane, drives, self._samples.get(lane, set())):
                    driven_cycle = lane[3] + position if lane[1] == "E" else lane[3] - position
                    ways[lane[1], position, end, driven_cycle] += 1
        return list(_join_cycles(chip, ways))

    def _note(self, lanes: defaultdict[_Lane, set[int]], dispatch: Dispatch, use: StreamUse) -> None:
        cycle, position = dispatch.cycle + use.delay, dispatch.queue.position
        direction = use.stream.direction
        diagonal = cycle - position if direction == "E" else cycle + position
        for stream in range(use.stream.index, use.stream.index + use.width):
            lanes[dispatch.chip, direction, stream, diagonal].add(position)


def _follow(lane: _Lane, drives: set[int], samples: set[int]) -> Iterator[tuple[int, int]]:
    """(position, end) of each vector of a lane: it lasts until the next one is driven over it."""
    step = 1 if lane[1] == "E" else -1
    producers = sorted(step * position for position in drives)
    for place, position in enumerate(producers):
        over = producers[place + 1] if place + 1 < len(producers) else None
        seen = [step * at for at in samples if step * at > position and (over is None or step * at < over)]
        if seen:
            yield step * position, step * max(seen)


def _join_cycles(chip: int, ways: Counter[tuple[Direction, int, int, int]]) -> Iterator[Band]:
    ordered = sorted((*way[:3], streams, way[3]) for way, streams in ways.items())
    for (direction, position, end, streams), group in groupby(ordered, key=lambda way: way[:4]):
        cycles = [way[4] for way in group]
        for _, run in groupby(enumerate(cycles), key=lambda numbered: numbered[1] - numbered[0]):
            together = [cycle for _, cycle in run]
            yield Band(chip, direction, position, end, streams, together[0], together[-1])
