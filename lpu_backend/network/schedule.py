"""From demands to a contention-free schedule: every vector a link and a cycle on every hop, before anything runs.

A vector never waits under way: its start is chosen so that every link of its route is free when it comes there. So no
buffer can overflow and nothing has to push back, as MULTI has it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

from lpu_backend.exceptions import LpuBackendError
from lpu_backend.network.routes import Hop, Route, Router, grow_tree
from lpu_backend.network.timing import NetworkTiming
from lpu_backend.network.topology import Topology
from lpu_backend.network.transfers import Demand, Departure, Schedule, Transfer

EXTRA_HOPS = 2
"""A detour is at most this much longer than the shortest route (assumed; in a node all are one longer)."""


class DemandError(LpuBackendError):
    """A demand that names no chip of the system, or nothing to move."""


class LinkCalendar:
    """The cycles in which one direction of a link cannot take a vector, as disjoint closed intervals."""

    def __init__(self, interval_cycles: int) -> None:
        self._apart_cycles = interval_cycles - 1
        self._first: list[int] = []
        self._last: list[int] = []

    def next_free(self, cycle: int) -> int:
        """The first cycle from this one on in which the link can take a vector."""
        place = bisect_right(self._first, cycle) - 1
        return max(cycle, self._last[place] + 1) if place >= 0 else cycle

    def take(self, cycle: int) -> None:
        """Take a vector in a free cycle: none may come nearer than the interval, before or after."""
        first, last = cycle - self._apart_cycles, cycle + self._apart_cycles
        begin = bisect_right(self._first, first - 1)
        if begin and self._last[begin - 1] >= first - 1:
            begin -= 1
            first = self._first[begin]
        end = bisect_right(self._first, last + 1)
        if end > begin:
            last = max(last, self._last[end - 1])
        self._first[begin:end], self._last[begin:end] = [first], [last]


@dataclass
class Course:
    """A route or tree with the cycle of each hop after the start. No start before `floor_cycle` is free."""

    hops: tuple[tuple[Hop, int], ...]
    length_cycles: int
    floor_cycle: int = 0


class Scheduler:
    """The links of one system, and what they have taken so far."""

    def __init__(self, topology: Topology, timing: NetworkTiming) -> None:
        self.router = Router(topology)
        self.timing = timing
        self.transfers: list[Transfer] = []
        self._departures: list[Departure] = []
        self._calendars: defaultdict[Hop, LinkCalendar] = defaultdict(lambda: LinkCalendar(timing.interval_cycles))
        self._shortest: dict[tuple[int, tuple[int, ...], int | None], Course] = {}

    def move(self, transfer: Transfer, via: int | None = None) -> dict[int, int]:
        """Move one vector as early as can be. The cycle of arrival at each chip on its way.

        It takes its shortest route or tree, or goes to the chip `via` and branches there, cutting through. DemandError.
        """
        key = (transfer.source, transfer.destinations, via)
        if key not in self._shortest:
            _refuse_demand(Demand(transfer.source, transfer.destinations, 1), self.router.topology.chips)
            self._shortest[key] = self.plan_course(self._grow(transfer, via))
        course = self._shortest[key]
        start_cycle = self.find_start(course, transfer.earliest_cycle)
        return self.place(transfer, course, start_cycle)

    def _grow(self, transfer: Transfer, via: int | None) -> Route:
        source, chips = transfer.source, transfer.destinations
        if via is None:
            return grow_tree(self.router, source, chips)
        rest = grow_tree(self.router, via, chips)
        if source in {hop.chip for hop in rest}:
            raise DemandError(f"the ways from chip {via} to {chips} come back to chip {source}")
        return (*grow_tree(self.router, source, [via]), *rest)

    def plan_course(self, route: Route) -> Course:
        """Offsets of a route's or tree's hops, each cut through as soon as the vector is there."""
        far_end, timing = self.router.topology.far_end, self.timing
        came_in: dict[int, tuple[int, int]] = {}
        hops: list[tuple[Hop, int]] = []
        for hop in route:
            offset_cycles = 0
            if hop.chip in came_in:
                offset_cycles, link_in = came_in[hop.chip]
                if timing.is_west(link_in) != timing.is_west(hop.link):
                    offset_cycles += timing.crossing_cycles
            end = far_end(*hop)
            assert end is not None  # noqa: S101  routes are made of cables
            came_in[end.chip] = (offset_cycles + timing.hop_cycles, end.link)
            hops.append((hop, offset_cycles))
        return Course(tuple(hops), max((offset for offset, _ in came_in.values()), default=0))

    def find_start(self, course: Course, earliest_cycle: int) -> int:
        """The first cycle in which every link of the course will be free when the vector comes there."""
        start_cycle, free_cycle = earliest_cycle, -1
        while start_cycle != free_cycle:
            free_cycle = start_cycle
            for hop, offset_cycles in course.hops:
                start_cycle = self._calendars[hop].next_free(start_cycle + offset_cycles) - offset_cycles
        return start_cycle

    def place(self, transfer: Transfer, course: Course, start_cycle: int) -> dict[int, int]:
        """Take the course's links. The cycle of arrival at each chip on it."""
        name = len(self.transfers)
        self.transfers.append(transfer)
        arrivals: dict[int, int] = {}
        for hop, offset_cycles in course.hops:
            self._calendars[hop].take(start_cycle + offset_cycles)
            self._departures.append(Departure(start_cycle + offset_cycles, hop.chip, hop.link, name))
            arrivals[int(self.router.topology.far_chip[hop])] = start_cycle + offset_cycles + self.timing.hop_cycles
        return arrivals

    def finish(self) -> Schedule:
        """What has been scheduled."""
        return Schedule(tuple(self.transfers), tuple(sorted(self._departures)))


def schedule_demands(
    topology: Topology, demands: Sequence[Demand], timing: NetworkTiming, *, spread: bool = True
) -> Schedule:
    """Move all demands, a vector of each in turn, each vector over the route on which it arrives first. DemandError.

    With `spread` a vector for one chip takes the shortest route or a detour over any other link of the source. Without
    it, and to several chips (see `collectives.broadcast`), all take the shortest route or tree. Greedy and the same at
    every call; not the optimum.
    """
    scheduler = Scheduler(topology, timing)
    for demand in demands:
        _refuse_demand(demand, topology.chips)
    flows = [_Flow(scheduler, demand, spread) for demand in demands]
    for turn in range(max((demand.vectors for demand in demands), default=0)):
        for flow in flows:
            if turn < flow.demand.vectors:
                flow.move_next()
    return scheduler.finish()


class _Flow:
    """The vectors of one demand, and its courses in the order of the arrival each may still offer."""

    def __init__(self, scheduler: Scheduler, demand: Demand, spread: bool) -> None:
        self.demand = demand
        self._scheduler = scheduler
        self._transfer = Transfer(demand.source, demand.destinations, demand.earliest_cycle)
        router, chips = scheduler.router, demand.destinations
        routes = [grow_tree(router, demand.source, chips)]
        if spread and len(chips) == 1:
            routes = router.detours(demand.source, chips[0], EXTRA_HOPS)
        self._courses = [scheduler.plan_course(route) for route in routes]
        for course in self._courses:
            course.floor_cycle = demand.earliest_cycle
        self._queue = [(course.floor_cycle + course.length_cycles, place) for place, course in enumerate(self._courses)]
        heapify(self._queue)

    def move_next(self) -> None:
        """Links only fill, so a course's last offer bounds its next: ask again only the one that seems best."""
        while True:
            offered_cycle, place = self._queue[0]
            course = self._courses[place]
            course.floor_cycle = self._scheduler.find_start(course, course.floor_cycle)
            arrival_cycle = course.floor_cycle + course.length_cycles
            if arrival_cycle == offered_cycle:
                self._scheduler.place(self._transfer, course, course.floor_cycle)
                return
            heapreplace(self._queue, (arrival_cycle, place))


def _refuse_demand(demand: Demand, chips: int) -> None:
    if min(demand.vectors, demand.earliest_cycle) < 0:
        raise DemandError(f"{demand} has a number below zero")
    if not demand.destinations or demand.source in demand.destinations:
        raise DemandError(f"{demand} has no destination, or a chip that sends to itself")
    for chip in (demand.source, *demand.destinations):
        if not 0 <= chip < chips:
            raise DemandError(f"{demand} names chip {chip}, there are {chips}")
