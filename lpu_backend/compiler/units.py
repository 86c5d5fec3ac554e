"""A unit of the schedule: instructions with cycles relative to one another, which find their start together.

Streams are left open until then: a unit says from where to where vectors flow and when, a transport for each group of
streams, and its instructions are made once every transport has got its streams.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.compiler.vector_program import Scope
from lpu_backend.isa.instructions import Instruction, Read, Write
from lpu_backend.isa.operands import Direction, Stream

Longs = NDArray[np.int64]
Make = Callable[[Sequence[Stream]], Instruction]
"""An instruction, given the first stream of each transport of its unit."""


class Leg(NamedTuple):
    """A vector driven at `begin` in `cycle` on stream `offset` of the group, and sampled at positions up to `end`."""

    offset: int
    cycle: int
    begin: int
    end: int
    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    distance: int = 1


@dataclass
class Transport:
    """Vectors that use one aligned group of `width` streams; `choices` are the groups' first streams, best first."""

    direction: Direction
    width: int
    choices: Sequence[int]
    legs: list[Leg] = field(default_factory=list)


class Issue(NamedTuple):
    """An instruction in a queue, `count` times more. What it makes may be stepped, as by Repeat."""

    queue: str
    cycle: int
    make: Make
    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    distance: int = 1
    scope: Scope = "step"
    stored: int | None = None
    stored_row: int = 0


class Access(NamedTuple):
    """Addresses of a slice, and the cycles in which they are read or written."""

    slice_name: str
    cycles: Longs
    addresses: Longs
    is_write: bool


class Hold(NamedTuple):
    """Something with a name that is taken as a queue's cycles are: an ALU's register."""

    name: str
    cycle: int
    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    distance: int = 1


@dataclass
class Unit:
    """Cycles are relative; `earliest` is the least start that is asked for besides."""

    issues: list[Issue] = field(default_factory=list)
    transports: list[Transport] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    earliest: int = 0

    def transport(self, direction: Direction, width: int, choices: Sequence[int]) -> int:
        """Add one; its place."""
        self.transports.append(Transport(direction, width, choices))
        return len(self.transports) - 1


class Spot(NamedTuple):
    """Addresses in a slice, one after another, and of what scope they are."""

    slice_name: str
    address: int
    step: int
    scope: Scope


class Series(NamedTuple):
    """Cycles `cycle`, + `distance`, ... `count` times more."""

    cycle: int
    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    distance: int = 1

    def list_cycles(self) -> Longs:
        return self.cycle + self.distance * np.arange(self.count + 1)


class UnitBuilder:
    """Adds reads, writes and what lies between to a unit, by the chip's timing."""

    def __init__(self, chip: ChipSpec) -> None:
        self.unit = Unit()
        self.chip = chip
        self._positions = plan_floor(chip).positions

    def position(self, name: str) -> int:
        """Of a slice, plane or SXM."""
        return self._positions[name]

    def towards(self, begin: str, end: str) -> Direction:
        """The way from one to the other."""
        return "E" if self._positions[end] >= self._positions[begin] else "W"

    def open(self, direction: Direction, width: int, *, highest_first: bool = False) -> int:
        """A transport on any aligned group of streams."""
        choices = range(0, self.chip.streams_each_way, width)
        return self.unit.transport(direction, width, choices[::-1] if highest_first else choices)

    def read(self, spot: Spot, transport: tuple[int, int], sampled: Series, end: str, last: str | None = None) -> None:
        """Vectors that `end` samples at these cycles, and `last` further on. `transport`: which, and the offset."""
        begin = self._positions[spot.slice_name]
        driven = sampled.cycle - abs(self._positions[end] - begin)
        dispatched = Series(driven - self.chip.timing("Read").func, sampled.count, sampled.distance)
        self._leg(transport, driven, begin, self._positions[last or end], sampled)
        self._access(spot, dispatched, is_write=False)
        self._issue(spot, dispatched, lambda stream: Read(spot.address, stream, spot.step), transport)

    def write(self, spot: Spot, transport: tuple[int, int], driven: Series, begin: str) -> None:
        """Vectors that `begin` drives at these cycles go to memory."""
        end = self._positions[spot.slice_name]
        dispatched = Series(driven.cycle + abs(end - self._positions[begin]), driven.count, driven.distance)
        self._leg(transport, driven.cycle, self._positions[begin], end, driven)
        self._access(spot, dispatched, is_write=True)
        self._issue(spot, dispatched, lambda stream: Write(spot.address, stream, spot.step), transport)

    def pass_on(self, transport: tuple[int, int], driven: Series, place: str, end: str | None = None) -> None:
        """Vectors that `place` drives and that are sampled there, or at `end`."""
        position = self._positions[place]
        self._leg(transport, driven.cycle, position, self._positions[end or place], driven)

    def issue(self, queue: str, dispatched: Series, make: Make) -> None:
        """Any instruction."""
        self.unit.issues.append(Issue(queue, dispatched.cycle, make, dispatched.count, dispatched.distance))

    def _leg(self, transport: tuple[int, int], driven: int, begin: int, end: int, series: Series) -> None:
        leg = Leg(transport[1], driven, begin, end, series.count, series.distance)
        self.unit.transports[transport[0]].legs.append(leg)

    def _access(self, spot: Spot, dispatched: Series, *, is_write: bool) -> None:
        addresses = spot.address + spot.step * np.arange(dispatched.count + 1)
        self.unit.accesses.append(Access(spot.slice_name, dispatched.list_cycles(), addresses, is_write))

    def _issue(
        self, spot: Spot, dispatched: Series, make: Callable[[Stream], Instruction], transport: tuple[int, int]
    ) -> None:
        place, offset = transport

        def finish(streams: Sequence[Stream]) -> Instruction:
            first = streams[place]
            return make(Stream(first.direction, first.index + offset))

        self.unit.issues.append(
            Issue(spot.slice_name, dispatched.cycle, finish, dispatched.count, dispatched.distance, spot.scope)
        )


def compress(points: Iterable[tuple[int, int]]) -> Iterator[tuple[Series, int, int]]:
    """(cycle, address) points in the order of cycles, as evenly spaced series: (cycles, first address, its step)."""
    rest = sorted(points)
    while rest:
        end = 1
        if len(rest) > 1:
            distance, step = rest[1][0] - rest[0][0], rest[1][1] - rest[0][1]
            while end < len(rest) and rest[end] == (rest[0][0] + end * distance, rest[0][1] + end * step):
                end += 1
            yield Series(rest[0][0], end - 1, distance), rest[0][1], step
        else:
            yield Series(rest[0][0]), rest[0][1], 0
        rest = rest[end:]
