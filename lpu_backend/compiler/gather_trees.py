"""The way of each vector of an all-gather: once over a cable to each other node, and there to all its chips.

In its node a vector goes straight to all others. For each further node one cable is chosen; the chip at its end hands
the vector on to the chips of that node. So a cable between nodes carries a vector once, and no vector goes twice to a
chip. Cables are chosen by what they, and the chips at their ends, have to carry already.
"""

from collections import defaultdict
from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.network.timing import NetworkTiming
from lpu_backend.network.topology import Topology, local_links


class Cast(NamedTuple):
    """A chip sends a vector over links of one side, over all in one cycle."""

    chip: int
    links: tuple[int, ...]


class _Cable(NamedTuple):
    """From link `link` of `chip` to `far_link` of `far_chip`, in another node."""

    chip: int
    link: int
    far_chip: int
    far_link: int


class TreePlanner:
    """Trees for the vectors of a group, one after the other, each in view of those before. CompileError."""

    def __init__(self, group: GroupShape, spec: ChipSpec, timing: NetworkTiming, vectors: int) -> None:
        self.topology = group.topology(spec)
        self._timing = timing
        self._local_links = local_links(spec)
        self._nodes = tuple(group.nodes(spec))
        self._members = frozenset(group.members)
        spare = range(group.members.stop, group.end_chip)
        usable = self._members.union(chip for chip in spare if self.topology.node_of(chip) in self._nodes)
        self._cables = _list_cables(self.topology, usable)
        if not _are_joined(self._nodes, self._cables):
            everyone = range(self._nodes[0] * spec.chips_per_node, (self._nodes[-1] + 1) * spec.chips_per_node)
            self._cables = _list_cables(self.topology, frozenset(everyone)) | self._cables
        if not _are_joined(self._nodes, self._cables):
            raise CompileError(f"no cables join the nodes of chips {min(self._members)} to {max(self._members)}")
        self._orders = {node: _order_nodes(node, self._nodes, self._cables) for node in self._nodes}
        self._cable_vectors: defaultdict[_Cable, int] = defaultdict(int)
        self._cast_vectors: defaultdict[int, int] = defaultdict(int, dict.fromkeys(group.members, vectors))

    def plan(self, source: int) -> dict[int, list[Cast]]:
        """What each chip sends of one vector of `source` as soon as it has it: cables first, others wait for those."""
        entries = {self.topology.node_of(source): source}
        casts: defaultdict[int, list[Cast]] = defaultdict(list)
        hearers: defaultdict[int, set[int]] = defaultdict(set)
        for node, parents in self._orders[self.topology.node_of(source)]:
            ways = [
                (self._cost(cable, entries[parent]), cable)
                for parent in parents
                for cable in self._cables[parent, node]
            ]
            cable = min(ways)[1]
            entries[node] = cable.far_chip
            hearers[self.topology.node_of(cable.chip)].add(cable.chip)
            casts[cable.chip].append(Cast(cable.chip, (cable.link,)))
            self._cable_vectors[cable] += 1
            self._cast_vectors[cable.far_chip] += 1
        for node, entry in entries.items():
            members = {chip for chip in self._members if self.topology.node_of(chip) == node}
            if links := self._link_to(entry, (members | hearers[node]) - {entry}):
                casts[entry].append(Cast(entry, links))
        return dict(casts)

    def _cost(self, cable: _Cable, entry: int) -> int:
        """Cycles, roughly, that a vector which is at `entry` waits for this cable and its end."""
        waiting = self._cable_vectors[cable] + self._cast_vectors[cable.far_chip]
        detour_cycles = self._timing.hop_cycles if cable.chip != entry else 0
        # Local links are at the west side: what comes or goes at the other crosses the chip.
        crossings = (not self._timing.is_west(cable.far_link)) + (
            cable.chip != entry and not self._timing.is_west(cable.link)
        )
        return waiting * self._timing.interval_cycles + detour_cycles + crossings * self._timing.crossing_cycles

    def _link_to(self, chip: int, others: set[int]) -> tuple[int, ...]:
        """A chip's local links to others of its node."""
        return tuple(link for link in range(self._local_links) if self.topology.far_chip[chip, link] in others)


Cables = dict[tuple[int, int], list[_Cable]]
"""By the nodes that they lead from and to."""


def _list_cables(topology: Topology, usable: frozenset[int]) -> Cables:
    cables: defaultdict[tuple[int, int], list[_Cable]] = defaultdict(list)
    for chip in sorted(usable):
        for link in range(topology.links):
            far_chip = int(topology.far_chip[chip, link])
            if far_chip in usable and (nodes := (topology.node_of(chip), topology.node_of(far_chip)))[0] != nodes[1]:
                cables[nodes].append(_Cable(chip, link, far_chip, int(topology.far_link[chip, link])))
    return dict(cables)


def _order_nodes(first: int, nodes: tuple[int, ...], cables: Cables) -> list[tuple[int, list[int]]]:
    """The other nodes by distance, each with the nodes one nearer that it is joined to. Those out of reach lack."""
    distance = {first: 0}
    order: list[tuple[int, list[int]]] = []
    front = [first]
    while front:
        level = distance[front[0]]
        found = [node for node in nodes if node not in distance and any((near, node) in cables for near in front)]
        order.extend((node, [near for near in front if (near, node) in cables]) for node in found)
        distance.update(dict.fromkeys(found, level + 1))
        front = found
    return order


def _are_joined(nodes: tuple[int, ...], cables: Cables) -> bool:
    return len(_order_nodes(nodes[0], nodes, cables)) == len(nodes) - 1
