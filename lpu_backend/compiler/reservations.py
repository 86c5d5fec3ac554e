"""What is taken when: queues cycle by cycle, and stream registers along the ways of vectors.

A vector on an east (west) stream moves one position east (west) a cycle, so it stays on one diagonal, cycle - position
(cycle + position). Its way is the positions from where it is driven to where it is sampled last; two ways on one
stream and diagonal may not share a position. Past its last sampling a vector may be overwritten.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.isa.operands import Stream

_GROWTH_CYCLES = 1 << 12
_WORD_BITS = 64
_LEAD_CYCLES = 256
"""Diagonals of west streams and queues may lie a little before cycle 0 while a start is sought."""


class Way(NamedTuple):
    """A vector on `stream`, driven in `cycle` at `begin` and sampled at positions up to `end`, `count` times more,
    `distance` cycles apart."""

    stream: Stream
    cycle: int
    begin: int
    end: int
    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    distance: int = 1


class Slot(NamedTuple):
    """A cycle of a queue (or of anything else with a name), `count` times more, `distance` cycles apart."""

    queue: str
    cycle: int
    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    distance: int = 1


class Reservations:
    """Taken slots and ways. Cycles begin at 0; a slot before that is never free."""

    def __init__(self, chip: ChipSpec) -> None:
        self._words = -(-plan_floor(chip).width // _WORD_BITS)
        self._slots: dict[str, NDArray[np.bool_]] = {}
        self._ways: dict[Stream, NDArray[np.uint64]] = {}
        self.last_cycle = -1

    def is_slot_free(self, slot: Slot) -> bool:
        if slot.cycle < 0:
            return False
        taken = self._slots.get(slot.queue)
        return taken is None or not taken[_span(slot.cycle, slot.count, slot.distance)].any()

    def take_slot(self, slot: Slot) -> None:
        """Take it; AssertionError if it is not free."""
        last = slot.cycle + slot.count * slot.distance
        taken = self._slots.get(slot.queue)
        if taken is None or len(taken) <= last:
            taken = self._slots[slot.queue] = _grow(taken, last, np.zeros(0, np.bool_))
        span = _span(slot.cycle, slot.count, slot.distance)
        if slot.cycle < 0 or taken[span].any():
            raise AssertionError(f"{slot} is taken")
        taken[span] = True
        self.last_cycle = max(self.last_cycle, last)

    def is_way_free(self, way: Way) -> bool:
        taken = self._ways.get(way.stream)
        if taken is None:
            return True
        return not (taken[_diagonals(way)] & _mask(way, self._words)).any()

    def take_way(self, way: Way) -> None:
        """Take it; AssertionError if it is not free."""
        diagonals = _diagonals(way)
        taken = self._ways.get(way.stream)
        if taken is None or len(taken) < diagonals.stop:
            empty = np.zeros((0, self._words), np.uint64)
            taken = self._ways[way.stream] = _grow(taken, diagonals.stop, empty)
        mask = _mask(way, self._words)
        if (taken[diagonals] & mask).any():
            raise AssertionError(f"{way} is taken")
        taken[diagonals] |= mask

    def release_way(self, way: Way) -> None:
        """Give back what `take_way` took."""
        self._ways[way.stream][_diagonals(way)] &= ~_mask(way, self._words)


def _grow(taken: NDArray | None, last: int, empty: NDArray) -> NDArray:  # type: ignore[type-arg]
    old = empty if taken is None else taken
    grown = np.zeros((last + _GROWTH_CYCLES, *old.shape[1:]), old.dtype)
    grown[: len(old)] = old
    return grown


def _span(cycle: int, count: int, distance: int) -> slice:
    return slice(cycle, cycle + count * distance + 1, distance)


def _diagonals(way: Way) -> slice:
    shift = -way.begin if way.stream.direction == "E" else way.begin
    return _span(way.cycle + shift + _LEAD_CYCLES, way.count, way.distance)


def _mask(way: Way, words: int) -> NDArray[np.uint64]:
    low, high = min(way.begin, way.end), max(way.begin, way.end)
    bits = (1 << (high + 1)) - (1 << low)
    return np.array([bits >> (_WORD_BITS * word) & (1 << _WORD_BITS) - 1 for word in range(words)], np.uint64)
