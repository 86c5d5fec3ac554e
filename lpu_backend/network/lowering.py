"""From a schedule to instructions: Read and Send, Receive and Send on, Receive and Write, each in its cycle.

Streams are taken by link: what goes out over link k flows to its side on stream k (W0 to W7 for the links at SXM_W, E8
to E15 for those at SXM_E), what comes in flows inward on stream k (E0 to E7, W8 to W15). A link takes a vector every 27
cycles at most, so no two meet. A forwarded vector goes from the receiving link's stream straight to the sending link:
in the cycle in which Receive drives it, or, across the chip, when it has flowed to the other side.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lpu_backend.chip import GROQCHIP1, ChipSpec, plan_floor
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.isa.instructions import Instruction, Read, Receive, Send, Write
from lpu_backend.isa.operands import Stream
from lpu_backend.isa.program import Link
from lpu_backend.network.timing import time_chip
from lpu_backend.network.topology import Topology
from lpu_backend.network.transfers import Departure, Schedule


class LoweringError(LpuBackendError):
    """A schedule that the emulated chips' instructions cannot follow."""


class Place(NamedTuple):
    """Where a vector lies."""

    slice_name: str
    address: int


TimedQueues = dict[str, dict[int, Instruction]]
"""What the queues of a chip dispatch, by queue and by cycle after the barrier."""


@dataclass(frozen=True)
class LoweredSchedule:
    """`queues[chip]`. Cycle 0 of the schedule is `origin_cycle` after the barrier.

    `written_cycles` says for (transfer, chip) in which cycle after the barrier the vector is written.
    """

    queues: tuple[TimedQueues, ...]
    origin_cycle: int
    written_cycles: Mapping[tuple[int, int], int]


def lower_schedule(
    topology: Topology,
    schedule: Schedule,
    sources: Sequence[Place],
    destinations: Mapping[tuple[int, int], Place],
    spec: ChipSpec = GROQCHIP1,
) -> LoweredSchedule:
    """The instructions of a schedule made with `time_chip(spec)`.

    `sources` has the place of each transfer's vector in its source, `destinations` that of (transfer, chip). A Receive
    that only feeds a Write may be some cycles late, if its queue or the slice's is taken. LoweringError if a vector
    waits between two hops, or two vectors need one slice's queue in one cycle.
    """
    lowering = _Lowering(topology, sources, destinations, spec)
    ordered = sorted(schedule.departures)
    lowering.set_origin(ordered, schedule)
    for departure in ordered:
        lowering.send(departure, schedule.transfers[departure.transfer].source)
    for departure in ordered:
        lowering.receive(departure, forwarded=True)
    for departure in ordered:
        lowering.receive(departure, forwarded=False)
    return lowering.finish()


def list_links(topology: Topology) -> tuple[Link, ...]:
    """All cables of a system, as a Program has them."""
    return tuple(Link(*cable.one, *cable.other) for cable in topology.cables())


class _Lowering:
    """Instructions as they are placed."""

    def __init__(
        self,
        topology: Topology,
        sources: Sequence[Place],
        destinations: Mapping[tuple[int, int], Place],
        spec: ChipSpec,
    ) -> None:
        self._topology, self._sources, self._destinations, self._spec = topology, sources, destinations, spec
        self._timing = time_chip(spec)
        self._positions = plan_floor(spec).positions
        self._queues: list[defaultdict[str, dict[int, Instruction]]] = [
            defaultdict(dict) for _ in range(topology.chips)
        ]
        self._origin_cycle = 0
        # By (transfer, chip): the link it comes in by, and the cycle in which its stream is driven.
        self._arrivals: dict[tuple[int, int], tuple[int, int]] = {}
        self._forwarded: set[tuple[int, int]] = set()
        self._reads: dict[tuple[int, int, bool, int], Stream] = {}
        self._written_cycles: dict[tuple[int, int], int] = {}

    def set_origin(self, departures: Sequence[Departure], schedule: Schedule) -> None:
        """Begin as early as the first vectors can be read and carried to their links."""
        for cycle, chip, link, transfer in departures:
            if chip == schedule.transfers[transfer].source:
                self._origin_cycle = max(self._origin_cycle, self._lead_cycles(transfer, link) - cycle)
            end = self._topology.far_end(chip, link)
            if end is None:
                raise LoweringError(f"chip {chip} link {link} leads nowhere")
            self._arrivals[transfer, end.chip] = (end.link, cycle + self._timing.hop_cycles)

    def send(self, departure: Departure, source: int) -> None:
        """A Send, and what brings it its vector: a Read in the source, the stream that came in elsewhere."""
        cycle, chip, link, _ = departure
        stream = self._read(departure) if chip == source else self._forward(departure)
        self._add(chip, f"C2C{link}", cycle - self._spec.timing("Send").skew, Send(stream))

    def receive(self, departure: Departure, *, forwarded: bool) -> None:
        """The Receive at the far end, and its Write if that is a destination; only those forwarded, or the others."""
        cycle, chip, link, transfer = departure
        end = self._topology.far_end(chip, link)
        assert end is not None  # noqa: S101  by set_origin
        if ((transfer, end.chip) in self._forwarded) != forwarded:
            return
        place = self._destinations.get((transfer, end.chip))
        late_limit_cycles = 1 if forwarded else self._timing.interval_cycles
        for late_cycles in range(late_limit_cycles):
            driven_cycle = cycle + self._timing.hop_cycles + late_cycles
            wanted = self._list_reception(end.chip, end.link, place, driven_cycle)
            if all(self._is_free(end.chip, queue, at_cycle) for queue, at_cycle, _ in wanted):
                break
        for queue, at_cycle, instruction in wanted:
            self._add(end.chip, queue, at_cycle, instruction)
        if place is not None:
            self._written_cycles[transfer, end.chip] = wanted[-1][1] + self._origin_cycle

    def finish(self) -> LoweredSchedule:
        return LoweredSchedule(
            tuple(dict(queues) for queues in self._queues), self._origin_cycle, dict(self._written_cycles)
        )

    def _lead_cycles(self, transfer: int, link: int) -> int:
        """From the dispatch of a Read to the cycle in which Send samples its vector."""
        return self._spec.timing("Read").func + self._distance(self._sources[transfer].slice_name, link)

    def _read(self, departure: Departure) -> Stream:
        """One Read serves all links of a side that take the vector in the same cycle."""
        cycle, chip, link, transfer = departure
        key = (chip, transfer, self._timing.is_west(link), cycle)
        if key not in self._reads:
            place = self._sources[transfer]
            self._reads[key] = Stream("W" if self._timing.is_west(link) else "E", link)
            read = Read(place.address, self._reads[key])
            self._add(chip, place.slice_name, cycle - self._lead_cycles(transfer, link), read)
        return self._reads[key]

    def _forward(self, departure: Departure) -> Stream:
        cycle, chip, link, transfer = departure
        if (transfer, chip) not in self._arrivals:
            raise LoweringError(f"{departure}: the vector never comes to chip {chip}")
        link_in, driven_cycle = self._arrivals[transfer, chip]
        crosses = self._timing.is_west(link_in) != self._timing.is_west(link)
        there_cycle = driven_cycle + (self._timing.crossing_cycles if crosses else 0)
        if cycle != there_cycle:
            raise LoweringError(f"{departure}: the vector passes in cycle {there_cycle} and does not wait")
        self._forwarded.add((transfer, chip))
        return self._inward(link_in)

    def _list_reception(
        self, chip: int, link: int, place: Place | None, driven_cycle: int
    ) -> list[tuple[str, int, Instruction]]:
        stream = self._inward(link)
        wanted: list[tuple[str, int, Instruction]] = [
            (f"C2C{link}", driven_cycle - self._spec.timing("Receive").func, Receive(stream))
        ]
        if place is not None:
            written_cycle = driven_cycle + self._distance(place.slice_name, link)
            wanted.append((place.slice_name, written_cycle, Write(place.address, stream)))
        return wanted

    def _inward(self, link: int) -> Stream:
        return Stream("E" if self._timing.is_west(link) else "W", link)

    def _distance(self, slice_name: str, link: int) -> int:
        side = self._positions["SXM_W" if self._timing.is_west(link) else "SXM_E"]
        return abs(self._positions[slice_name] - side)

    def _is_free(self, chip: int, queue: str, cycle: int) -> bool:
        return cycle + self._origin_cycle not in self._queues[chip][queue]

    def _add(self, chip: int, queue: str, cycle: int, instruction: Instruction) -> None:
        if not self._is_free(chip, queue, cycle):
            taken = self._queues[chip][queue][cycle + self._origin_cycle]
            raise LoweringError(f"chip {chip} {queue} has both {taken} and {instruction} in cycle {cycle}")
        self._queues[chip][queue][cycle + self._origin_cycle] = instruction
