"""When units begin: the first cycle in which their queues, streams and memory are free for all they do."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.reservations import Reservations, Slot, Way
from lpu_backend.compiler.template import Run
from lpu_backend.compiler.units import Access, Transport, Unit
from lpu_backend.isa.operands import Stream

_NEVER = -(1 << 40)
_MAX_TRIES = 1 << 14


class Timetable:
    """The schedule of one template as it grows."""

    def __init__(self, chip: ChipSpec) -> None:
        self._chip = chip
        self._reservations = Reservations(chip)
        self._read: dict[str, NDArray[np.int64]] = {}
        self._written: dict[str, NDArray[np.int64]] = {}
        self.runs: list[Run] = []
        self.last_cycle = -1
        self._floor = 0

    def place(self, *units: Unit) -> int:
        """Give the first of these that can the earliest start that any can. The start."""
        start = max([self._bound_start(units[0]), *(self._bound_access(access) for access in units[0].accesses)])
        for begin in range(start, start + _MAX_TRIES):
            for unit in units:
                if self._are_queues_free(unit, begin):
                    streams = self._take_streams(unit, begin)
                    if streams is not None:
                        self._commit(unit, begin, streams)
                        return begin
        raise CompileError("no cycle was found in which an operation's queues and streams are all free")

    def take_all(self, cycles: int) -> None:
        """Once all that was placed is over, `cycles` in which nothing is placed: what follows begins after them."""
        self.last_cycle += cycles
        self._floor = self.last_cycle + 1

    def _bound_start(self, unit: Unit) -> int:
        """No instruction, and no vector under way, comes before the floor."""
        first = min((issue.cycle for issue in unit.issues), default=0)
        return max(unit.earliest, self._floor - first)

    def _bound_access(self, access: Access) -> int:
        """A cycle later than the last write of what is read or written, and the last read of what is written."""
        bound = _NEVER
        for times in (self._written, self._read) if access.is_write else (self._written,):
            taken = times.get(access.slice_name)
            if taken is not None:
                bound = max(bound, int((taken[access.addresses] - access.cycles).max()) + 1)
        return bound

    def _are_queues_free(self, unit: Unit, start: int) -> bool:
        free = self._reservations.is_slot_free
        return all(free(Slot(at.queue, start + at.cycle, at.count, at.distance)) for at in unit.issues) and all(
            free(Slot(at.name, start + at.cycle, at.count, at.distance)) for at in unit.holds
        )

    def _take_streams(self, unit: Unit, start: int) -> list[Stream] | None:
        """The first stream of each transport, taken; None, and nothing taken, if there are too few."""
        taken: list[Way] = []
        streams = []
        for transport in unit.transports:
            ways = next((ways for first in transport.choices if (ways := self._try(transport, first, start))), None)
            if ways is None:
                for way in taken:
                    self._reservations.release_way(way)
                return None
            taken += ways[1]
            streams.append(ways[0])
        return streams

    def _try(self, transport: Transport, first: int, start: int) -> tuple[Stream, list[Way]] | None:
        ways: list[Way] = []
        for leg in transport.legs:
            stream = Stream(transport.direction, first + leg.offset)
            way = Way(stream, start + leg.cycle, leg.begin, leg.end, leg.count, leg.distance)
            if not self._reservations.is_way_free(way):
                for other in ways:
                    self._reservations.release_way(other)
                return None
            self._reservations.take_way(way)
            ways.append(way)
        return Stream(transport.direction, first), ways

    def _commit(self, unit: Unit, start: int, streams: list[Stream]) -> None:
        for issue in unit.issues:
            cycle = start + issue.cycle
            self._reservations.take_slot(Slot(issue.queue, cycle, issue.count, issue.distance))
            rest = issue.count, issue.distance, issue.scope, issue.stored, issue.stored_row
            self.runs.append(Run(issue.queue, cycle, issue.make(streams), *rest))
            self._end(cycle + issue.count * issue.distance)
        for hold in unit.holds:
            self._reservations.take_slot(Slot(hold.name, start + hold.cycle, hold.count, hold.distance))
        for transport in unit.transports:
            for leg in transport.legs:
                self._end(start + leg.cycle + leg.count * leg.distance + abs(leg.end - leg.begin))
        for access in unit.accesses:
            self._note(access, start)

    def _end(self, cycle: int) -> None:
        self.last_cycle = max(self.last_cycle, cycle)

    def _note(self, access: Access, start: int) -> None:
        times = self._written if access.is_write else self._read
        if access.slice_name not in times:
            times[access.slice_name] = np.full(self._chip.mem_addresses, _NEVER)
        # A row that is accessed several times keeps the last.
        np.maximum.at(times[access.slice_name], access.addresses, access.cycles + start)
