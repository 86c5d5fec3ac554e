"""The cycles of an all-gather: every Read, Send, Receive and Write of every chip, one sending after the other.

A chip has a vector from its Receive on: it is handed on in the cycle in which Receive drives it (or, at the other side,
when it has flowed there), if the links are free just then, and else read back from its place in memory. Streams are
those of `network.lowering`: link k's go out and come in on stream k. Copies on a chip use those above the links'.
"""

from collections import defaultdict
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.compiler.gather_trees import Cast
from lpu_backend.isa.instructions import Read, Receive, Send, Write
from lpu_backend.isa.operands import Stream
from lpu_backend.network.schedule import LinkCalendar
from lpu_backend.network.timing import NetworkTiming
from lpu_backend.network.topology import Topology


class Site(NamedTuple):
    """A vector's place: a slice, and how far from the first address of the value."""

    value: Literal["source", "destination"]
    slice_name: str
    offset: int


class Action(NamedTuple):
    """An instruction, the address of which is counted from that of `value`."""

    value: Literal["source", "destination"] | None
    instruction: Read | Write | Send | Receive


class Vector(NamedTuple):
    """A vector of chip `owner`: where it lies there, where on every chip that gets it, and who sends it on to whom."""

    owner: int
    source: Site
    destination: Site
    casts: dict[int, list[Cast]]


class _Arrival(NamedTuple):
    """Receive drives a vector that came in over `link`; from `readable_cycle` on it is in memory."""

    link: int
    driven_cycle: int
    readable_cycle: int


class _Reception(NamedTuple):
    """A Receive and its Write that have been found room for."""

    chip: int
    link: int
    receive_cycle: int
    write_cycle: int


ChipActions = defaultdict[str, dict[int, Action]]


class GatherScheduler:
    """What the chips' queues do, and what the links carry. Cycles begin at 0."""

    def __init__(self, topology: Topology, spec: ChipSpec, timing: NetworkTiming) -> None:
        self._topology, self._spec, self._timing = topology, spec, timing
        self._positions = plan_floor(spec).positions
        self._calendars: defaultdict[tuple[int, int], LinkCalendar] = defaultdict(
            lambda: LinkCalendar(timing.interval_cycles)
        )
        self.actions: defaultdict[int, ChipActions] = defaultdict(lambda: defaultdict(dict))
        self.last_cycle = -1
        self._copy_diagonals: set[tuple[int, Stream, int]] = set()
        self._waiting: list[tuple[int, int, Vector, Cast, _Arrival | None]] = []
        self._count = 0

    def move(self, vectors: Iterable[Vector]) -> None:
        """All vectors to all chips of their trees, those that can go first first."""
        for vector in vectors:
            for cast in vector.casts.get(vector.owner, ()):
                self._wait(self._lead_cycles(vector.source, cast), vector, cast, None)
        while self._waiting:
            cycle, _, vector, cast, arrival = heappop(self._waiting)
            if arrival is None:
                site = vector.source if cast.chip == vector.owner else vector.destination
                self._send_from_memory(cycle, vector, cast, site)
            elif not self._send(cycle, vector, cast, Stream(self._inward(arrival.link), arrival.link)):
                self._wait(arrival.readable_cycle + self._lead_cycles(vector.destination, cast), vector, cast, None)

    def _wait(self, cycle: int, vector: Vector, cast: Cast, arrival: _Arrival | None) -> None:
        heappush(self._waiting, (cycle, self._count, vector, cast, arrival))
        self._count += 1

    def _send_from_memory(self, cycle: int, vector: Vector, cast: Cast, site: Site) -> None:
        """In the first cycle in which there is room for the Read, the Sends and all Receives and Writes."""
        stream = Stream("W" if self._timing.is_west(cast.links[0]) else "E", cast.links[0])
        lead_cycles = self._lead_cycles(site, cast)
        while True:
            cycle = self._next_free(cast, cycle)
            read_cycle = cycle - lead_cycles
            if self._is_free(cast.chip, site.slice_name, read_cycle) and self._send(cycle, vector, cast, stream):
                self._add(cast.chip, site.slice_name, read_cycle, Action(site.value, Read(site.offset, stream)))
                return
            cycle += 1

    def _next_free(self, cast: Cast, cycle: int) -> int:
        before = -1
        while before != cycle:
            before = cycle
            for link in cast.links:
                cycle = self._calendars[cast.chip, link].next_free(cycle)
        return cycle

    def _send(self, cycle: int, vector: Vector, cast: Cast, stream: Stream) -> bool:
        """Send just in this cycle, if all links, their queues and those at the far ends have room. Whether it did."""
        send_cycle = cycle - self._spec.timing("Send").skew
        if self._next_free(cast, cycle) != cycle:
            return False
        if not all(self._is_free(cast.chip, f"C2C{link}", send_cycle) for link in cast.links):
            return False
        receptions = [self._find_reception(cycle, cast.chip, link, vector.destination) for link in cast.links]
        if None in receptions:
            return False
        for link in cast.links:
            self._calendars[cast.chip, link].take(cycle)
            self._add(cast.chip, f"C2C{link}", send_cycle, Action(None, Send(stream)))
        for reception in filter(None, receptions):
            self._receive(reception, vector)
        return True

    def _find_reception(self, cycle: int, chip: int, link: int, site: Site) -> _Reception | None:
        """As early as can be, and before the link's next vector may come."""
        end = self._topology.far_end(chip, link)
        assert end is not None  # noqa: S101  trees are made of cables
        flow_cycles = self._spec.timing("Receive").func + self._distance(site.slice_name, end.link)
        for late_cycles in range(self._timing.interval_cycles):
            receive_cycle = cycle + self._spec.c2c_max_latency_cycles + late_cycles
            write_cycle = receive_cycle + flow_cycles
            queues_free = self._is_free(end.chip, f"C2C{end.link}", receive_cycle)
            if queues_free and self._is_free(end.chip, site.slice_name, write_cycle):
                return _Reception(end.chip, end.link, receive_cycle, write_cycle)
        return None

    def _receive(self, reception: _Reception, vector: Vector) -> None:
        chip, link, receive_cycle, write_cycle = reception
        site, stream = vector.destination, Stream(self._inward(link), link)
        self._add(chip, f"C2C{link}", receive_cycle, Action(None, Receive(stream)))
        self._add(chip, site.slice_name, write_cycle, Action(site.value, Write(site.offset, stream)))
        driven_cycle = receive_cycle + self._spec.timing("Receive").func
        arrival = _Arrival(link, driven_cycle, write_cycle + 1)
        for cast in vector.casts.get(chip, ()):
            crosses = self._timing.is_west(link) != self._timing.is_west(cast.links[0])
            self._wait(driven_cycle + (self._timing.crossing_cycles if crosses else 0), vector, cast, arrival)

    def copy(self, vector: Vector) -> None:
        """Read and Write on the owner itself, where there is room."""
        begin, end = (self._positions[site.slice_name] for site in (vector.source, vector.destination))
        flow_cycles = self._spec.timing("Read").func + abs(end - begin)
        cycle = 0
        while (stream := self._find_copy_stream(vector, cycle, flow_cycles)) is None:
            cycle += 1
        self._copy_diagonals.add((vector.owner, stream, self._diagonal(stream, cycle, begin)))
        read = Action("source", Read(vector.source.offset, stream))
        write = Action("destination", Write(vector.destination.offset, stream))
        self._add(vector.owner, vector.source.slice_name, cycle, read)
        self._add(vector.owner, vector.destination.slice_name, cycle + flow_cycles, write)

    def _find_copy_stream(self, vector: Vector, cycle: int, flow_cycles: int) -> Stream | None:
        """A stream on which nothing else is with this vector, if both queues are free."""
        owner, source, destination, _ = vector
        queues_free = self._is_free(owner, source.slice_name, cycle)
        if not (queues_free and self._is_free(owner, destination.slice_name, cycle + flow_cycles)):
            return None
        begin, end = (self._positions[site.slice_name] for site in (source, destination))
        for index in range(self._spec.c2c_links, self._spec.streams_each_way):
            stream = Stream("E" if end >= begin else "W", index)
            if (owner, stream, self._diagonal(stream, cycle, begin)) not in self._copy_diagonals:
                return stream
        return None

    def _diagonal(self, stream: Stream, cycle: int, position: int) -> int:
        """What stays the same while a vector flows that is read at `position`."""
        return cycle - position if stream.direction == "E" else cycle + position

    def _lead_cycles(self, site: Site, cast: Cast) -> int:
        """From the dispatch of a Read to the cycle in which Send samples its vector."""
        return self._spec.timing("Read").func + self._distance(site.slice_name, cast.links[0])

    def _distance(self, slice_name: str, link: int) -> int:
        side = self._positions["SXM_W" if self._timing.is_west(link) else "SXM_E"]
        return abs(self._positions[slice_name] - side)

    def _inward(self, link: int) -> Literal["E", "W"]:
        return "E" if self._timing.is_west(link) else "W"

    def _is_free(self, chip: int, queue: str, cycle: int) -> bool:
        return cycle >= 0 and cycle not in self.actions[chip][queue]

    def _add(self, chip: int, queue: str, cycle: int, action: Action) -> None:
        if not self._is_free(chip, queue, cycle):
            raise AssertionError(f"chip {chip} {queue} has something in cycle {cycle} already")
        self.actions[chip][queue][cycle] = action
        self.last_cycle = max(self.last_cycle, cycle)
