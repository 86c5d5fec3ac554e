"""What is to be moved, and the schedule that moves it."""

from dataclasses import dataclass
from typing import NamedTuple


class Demand(NamedTuple):
    """`vectors` vectors of 320 bytes from one chip to one or several, each to all; none leaves before the cycle."""

    source: int
    destinations: tuple[int, ...]
    vectors: int
    earliest_cycle: int = 0


class Transfer(NamedTuple):
    """One vector of a demand."""

    source: int
    destinations: tuple[int, ...]
    earliest_cycle: int = 0


class Departure(NamedTuple):
    """In `cycle` a link takes the vector of a transfer, which is named by its place in the schedule's list."""

    cycle: int
    chip: int
    link: int
    transfer: int


@dataclass(frozen=True)
class Schedule:
    """Every vector's link and cycle on every hop, in the order of (cycle, chip, link)."""

    transfers: tuple[Transfer, ...]
    departures: tuple[Departure, ...]
