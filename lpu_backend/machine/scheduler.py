"""The order in which things happen: by cycle, by phase within a cycle, then by when they were planned.

Within a cycle: barrier releases and fetched text; dispatches, with what takes its operands at once; what takes them
later than its dispatch; the check that every product found its ACC. Nothing else can depend on order within a cycle,
because every result is driven in a later cycle than its operands are taken in. A cycle in which nothing happens costs
nothing.
"""

import heapq
from collections.abc import Callable
from enum import IntEnum
from itertools import count


class Phase(IntEnum):
    """Order within a cycle."""

    RELEASE = 0
    DISPATCH = 1
    OPERANDS = 2
    END = 3


class Scheduler:
    """Actions by cycle, for all chips of a machine."""

    def __init__(self) -> None:
        self._serials = count()
        self._events: list[tuple[int, int, int, Callable[[int], None]]] = []

    def at(self, cycle: int, phase: Phase, action: Callable[[int], None]) -> None:
        """Call `action(cycle)` in that cycle."""
        heapq.heappush(self._events, (cycle, phase, next(self._serials), action))

    def run(self) -> None:
        """Until nothing is planned."""
        events = self._events
        while events:
            cycle, _, _, action = heapq.heappop(events)
            action(cycle)
