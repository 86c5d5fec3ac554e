"""From one stage's group to the next: each chip's rows to every chip of the other group.

A vector takes the way to whichever chip of the next group can have it first, over links that carry little yet, and goes
on from there as in an all-gather. All of it is one schedule, so a vector is handed on while others are still coming.
Chips on the way keep what passes in the place that it has at its destination.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.gather_schedule import ChipActions, GatherScheduler
from lpu_backend.compiler.gather_trees import Cast, TreePlanner
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.routing import GatherShape, fill_addresses, list_vectors
from lpu_backend.compiler.value_place import ValuePlace
from lpu_backend.network.lowering import TimedQueues
from lpu_backend.network.routes import Route, Router
from lpu_backend.network.schedule import EXTRA_HOPS
from lpu_backend.network.timing import NetworkTiming, time_chip


@dataclass(frozen=True, eq=False)
class HandoffWindow:
    """A hand-off, by chips' numbers in the system. After `cycles` the next group has all rows."""

    source: ValuePlace
    destination: ValuePlace
    cycles: int
    _actions: dict[int, ChipActions]

    @property
    def chips(self) -> list[int]:
        """All that have something to do."""
        return sorted(self._actions)

    def queues(self, chip: int) -> TimedQueues:
        """What a chip dispatches, by queue and cycle."""
        return fill_addresses(self._actions.get(chip, {}), self.source, self.destination)


def route_handoff(
    group_from: GroupShape,
    group_to: GroupShape,
    rows: int,
    row_bytes: int,
    source: ValuePlace,
    destination: ValuePlace,
    chip: ChipSpec = GROQCHIP1,
) -> int:
    """Cycles from the end of a stage, when each chip of a group has its `rows` rows in `source`, until every chip of
    the next group has all of them in `destination`, in the order of an AllGather. CompileError, TopologyError."""
    return plan_handoff(group_from, group_to, rows, row_bytes, source, destination, chip).cycles


def plan_handoff(
    group_from: GroupShape,
    group_to: GroupShape,
    rows: int,
    row_bytes: int,
    source: ValuePlace,
    destination: ValuePlace,
    chip: ChipSpec = GROQCHIP1,
) -> HandoffWindow:
    """The instructions of `route_handoff`. Links and chips on the way are taken as idle."""
    if set(group_from.members) & set(group_to.members):
        raise CompileError(f"{group_from} and {group_to} have chips in common")
    system_chips = max(group.topology(chip).chips for group in (group_from, group_to))
    one, other = (replace(group, system_chips=system_chips) for group in (group_from, group_to))
    for group in (one, other):
        group.refuse_misfit(chip)
    slices = (source.slices, destination.slices)
    actions, cycles = _schedule(one, other, GatherShape(rows, 1, row_bytes), slices, chip)
    return HandoffWindow(source, destination, cycles, actions)


_Scheduled = tuple[dict[int, ChipActions], int]
"""What the chips do, and the cycles it takes."""


@cache
def _schedule(
    group_from: GroupShape,
    group_to: GroupShape,
    shape: GatherShape,
    slices: tuple[tuple[str, ...], tuple[str, ...]],
    chip: ChipSpec,
) -> _Scheduled:
    """The better of two: detours share the load, but take links that others need. Between large groups there are
    ways enough without."""
    one_node = group_to.chips <= chip.chips_per_node
    ways = [
        _schedule_ways(group_from, group_to, shape, slices, chip, hops)
        for hops in ((0, EXTRA_HOPS) if one_node else (0,))
    ]
    return min(ways, key=lambda scheduled: scheduled[1])


def _schedule_ways(
    group_from: GroupShape,
    group_to: GroupShape,
    shape: GatherShape,
    slices: tuple[tuple[str, ...], tuple[str, ...]],
    chip: ChipSpec,
    extra_hops: int,
) -> _Scheduled:
    timing = time_chip(chip)
    entries = _EntryPlanner(group_from, group_to, chip, timing, extra_hops)
    vectors = list_vectors(group_from, shape, slices, entries.plan)
    scheduler = GatherScheduler(group_to.topology(chip), chip, timing)
    scheduler.move(vectors)
    return dict(scheduler.actions), scheduler.last_cycle + 1


class _EntryPlanner:
    """By which chip of the next group a vector comes in, and on which way."""

    def __init__(
        self, group_from: GroupShape, group_to: GroupShape, spec: ChipSpec, timing: NetworkTiming, extra_hops: int
    ) -> None:
        self._trees = TreePlanner(group_to, spec, timing, 0)
        self._timing = timing
        self._hop_vectors: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._entry_vectors: defaultdict[int, int] = defaultdict(int)
        router = Router(self._trees.topology)
        self._routes = {owner: list(_list_routes(router, owner, group_to, extra_hops)) for owner in group_from.members}

    def plan(self, owner: int) -> dict[int, list[Cast]]:
        """What each chip sends of one vector of `owner`."""
        cost_cycles = [self._cost(entry, route) for entry, route in self._routes[owner]]
        entry, route = self._routes[owner][cost_cycles.index(min(cost_cycles))]
        self._entry_vectors[entry] += 1
        for hop in route:
            self._hop_vectors[hop] += 1
        return self._join(route, self._trees.plan(entry))

    def _join(self, route: Route, tree: Mapping[int, list[Cast]]) -> dict[int, list[Cast]]:
        """The route's sendings, then the tree's, where a chip on the route need not get the vector once more."""
        casts = {hop.chip: [Cast(hop.chip, (hop.link,))] for hop in route}
        far_chip, passed = self._trees.topology.far_chip, set(casts)
        for chip, sendings in tree.items():
            for cast in sendings:
                if links := tuple(link for link in cast.links if far_chip[chip, link] not in passed):
                    casts.setdefault(chip, []).append(Cast(chip, links))
        return casts

    def _cost(self, entry: int, route: Route) -> int:
        """Cycles, roughly, until the chips of the entry's node have the vector."""
        waiting = max(self._hop_vectors[hop] for hop in route) + self._entry_vectors[entry]
        return len(route) * self._timing.hop_cycles + waiting * self._timing.interval_cycles


def _list_routes(router: Router, owner: int, group: GroupShape, extra_hops: int) -> Iterator[tuple[int, Route]]:
    """Ways to the chips of the next group that pass no other chip of it; without extra hops one to each."""
    for entry in group.members:
        routes = router.detours(owner, entry, extra_hops) if extra_hops else [router.route(owner, entry)]
        yield from ((entry, route) for route in routes if not any(hop.chip in group.members for hop in route))
