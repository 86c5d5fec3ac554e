"""An independent check of a schedule: every vector is moved as it says, and what cannot be is refused.

It shares nothing with the scheduler but the system's cables and figures. Cycles are counted as by `NetworkTiming`.
"""

from collections import defaultdict
from itertools import pairwise

from lpu_backend.exceptions import LpuBackendError
from lpu_backend.network.timing import NetworkTiming
from lpu_backend.network.topology import Topology
from lpu_backend.network.transfers import Departure, Schedule

Arrivals = list[dict[int, int]]
"""For every transfer the cycle from which each chip that it reaches has the vector; not the source."""


class ReplayError(LpuBackendError):
    """A schedule that a system could not run."""


def replay(topology: Topology, schedule: Schedule, timing: NetworkTiming) -> Arrivals:
    """Move every vector and say when it is where.

    ReplayError for two vectors on one direction of a link closer than its interval, a link that is not there, a vector
    that leaves a chip before it is there (or its source before its earliest cycle), and one that misses a destination.
    """
    _refuse_contention(schedule, timing)
    hops: list[list[Departure]] = [[] for _ in schedule.transfers]
    for departure in schedule.departures:
        if not 0 <= departure.transfer < len(hops):
            raise ReplayError(f"{departure} moves a transfer that there is not")
        hops[departure.transfer].append(departure)
    return [_move(topology, schedule, name, hops[name], timing) for name in range(len(hops))]


def _refuse_contention(schedule: Schedule, timing: NetworkTiming) -> None:
    taken: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for cycle, chip, link, _ in schedule.departures:
        taken[chip, link].append(cycle)
    for (chip, link), cycles in taken.items():
        cycles.sort()
        for before, after in pairwise(cycles):
            if after - before < timing.interval_cycles:
                raise ReplayError(f"chip {chip} link {link} takes vectors in cycles {before} and {after}: contention")


def _move(
    topology: Topology, schedule: Schedule, name: int, hops: list[Departure], timing: NetworkTiming
) -> dict[int, int]:
    transfer = schedule.transfers[name]
    # Where the vector is, since when, and at which side of the chip; at its source it is at both.
    here: dict[int, tuple[int, bool | None]] = {transfer.source: (transfer.earliest_cycle, None)}
    for departure in sorted(hops):
        cycle, chip, link, _ = departure
        if chip not in here:
            raise ReplayError(f"{departure}: the vector has not been at chip {chip}")
        since_cycle, came_west = here[chip]
        goes_west = link < timing.west_links
        if came_west is not None and came_west != goes_west:
            since_cycle += timing.crossing_cycles
        if cycle < since_cycle:
            raise ReplayError(f"{departure}: the vector is there from cycle {since_cycle} on")
        if not 0 <= link < topology.far_chip.shape[1] or (far_chip := int(topology.far_chip[chip, link])) < 0:
            raise ReplayError(f"{departure}: the link leads nowhere")
        if far_chip in here:
            raise ReplayError(f"{departure}: chip {far_chip} has the vector already")
        here[far_chip] = (cycle + timing.hop_cycles, int(topology.far_link[chip, link]) < timing.west_links)
    missing = set(transfer.destinations) - here.keys()
    if missing:
        raise ReplayError(f"transfer {name} from chip {transfer.source} never comes to chip {min(missing)}")
    return {chip: cycle for chip, (cycle, _) in here.items() if chip != transfer.source}
