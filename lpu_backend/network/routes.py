"""Shortest routes between chips, the same at every call, and the detours that share load with them."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.network.topology import Topology

_KEPT_DESTINATIONS = 512


class Hop(NamedTuple):
    """A vector leaves `chip` over its link `link`."""

    chip: int
    link: int


Route = tuple[Hop, ...]


class Router:
    """Routes of one topology. Distances are found a destination at a time, when first asked for."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._distances: OrderedDict[int, NDArray[np.int8]] = OrderedDict()

    def distances(self, chip: int) -> NDArray[np.int8]:
        """Hops between this chip and every other, [chips], by breadth-first search; cables carry both ways."""
        found = self._distances.pop(chip, None)
        if found is None:
            found = _search_breadth_first(self.topology, chip)
            if len(self._distances) >= _KEPT_DESTINATIONS:
                self._distances.popitem(last=False)
        self._distances[chip] = found
        return found

    def route(self, source: int, destination: int) -> Route:
        """A route of the fewest hops, empty from a chip to itself.

        Where several links lead on as fast, the two chips' numbers choose, so that pairs spread over them.
        """
        return self._follow(source, destination, _mix(source, destination))

    def detours(self, source: int, destination: int, extra_hops: int) -> list[Route]:
        """For every link of the source, a shortest route that begins with it, with at most `extra_hops` more hops.

        The route of `route` comes first; the others in the order of their length, then of their first link. None comes
        back to the source.
        """
        best = self.route(source, destination)
        distances = self.distances(destination)
        others: list[Route] = []
        for link in range(self.topology.links):
            end = self.topology.far_end(source, link)
            if end is None or link == best[0].link or distances[end.chip] + 1 > len(best) + extra_hops:
                continue
            rest = self._follow(end.chip, destination, _mix(source, destination))
            if source not in {hop.chip for hop in rest}:
                others.append((Hop(source, link), *rest))
        return [best, *sorted(others, key=len)]

    def _follow(self, source: int, destination: int, choice: int) -> Route:
        distances, far_chip = self.distances(destination), self.topology.far_chip
        hops: list[Hop] = []
        chip = source
        while chip != destination:
            row = far_chip[chip]
            links = np.flatnonzero((row >= 0) & (distances[row] < distances[chip]))
            hops.append(Hop(chip, int(links[choice % len(links)])))
            chip = int(row[hops[-1].link])
        return tuple(hops)


def find_diameter(topology: Topology) -> int:
    """The most hops between two chips. Every node, or rack, is placed as the first: one group's chips are enough."""
    spec = topology.spec
    group = spec.chips_per_node * (spec.nodes_per_rack if topology.has_rack_cables else 1)
    return max(int(_search_breadth_first(topology, chip).max()) for chip in range(min(group, topology.chips)))


def grow_tree(router: Router, source: int, destinations: Sequence[int]) -> Route:
    """The hops that bring one vector to all destinations, each chip once, no hop before the one that leads to it."""
    tree: list[Hop] = []
    # Nearer ones first: so none is passed on the way to another before it has its own branch.
    reached = {source}
    for destination in sorted(set(destinations) - reached, key=lambda chip: (router.distances(chip)[source], chip)):
        route = router.route(source, destination)
        ends = [*(hop.chip for hop in route[1:]), destination]
        begin = max(place for place, hop in enumerate(route) if hop.chip in reached)
        tree.extend(route[begin:])
        reached.update(ends[begin:])
    return tuple(tree)


def _mix(source: int, destination: int) -> int:
    """Halved, so that chips of the same place in their nodes, whose sum is even, use odd links too."""
    return source + destination // 2


def _search_breadth_first(topology: Topology, chip: int) -> NDArray[np.int8]:
    distances = np.full(topology.chips, -1, np.int8)
    distances[chip] = 0
    front = np.array([chip])
    hops = 0
    while front.size:
        hops += 1
        reached = np.unique(topology.far_chip[front])
        front = reached[(reached >= 0) & (distances[reached] < 0)]
        distances[front] = hops
    return distances
