"""Which link of which chip is cabled to which: part of a node, up to 33 nodes all to all, or racks of nine nodes.

Published (MULTI): a node is 8 chips, fully connected by 7 local links a chip, with 4 global links a chip; up to 33
nodes are connected all to all; beyond that 9 nodes are a rack, and up to 145 racks are connected, as a dragonfly.

Assumed, since no source gives it: which link goes where. One rule serves at every level. The members of a group are
numbered from 0, each has ports, and all pairs are joined by equally many cables, as many as the ports allow: port
(d - 1) * copies + k of member m leads to the member m + d (modulo the members), for k below `copies`.
  - Node: members are chips, port p is link p. So link k of chip c leads to link 6 - k of chip c + k + 1.
  - Nodes all to all: members are nodes, port p is link 7 + p // 8 of the node's chip p % 8.
  - Rack: the same with links 7 and 8 alone, so two cables join each pair of its nodes. That half of the global links
    stays in the rack is inferred: the other half of nine nodes' links is 144, one for each other rack of 145.
  - Racks: members are racks, ports are links 9 and 10 of all chips, in the order of `_order_rack_ports`, which mixes
    them so that no two chips are more than 6 cables apart. (In the natural order it is 7.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.exceptions import LpuBackendError

Chips = NDArray[np.int32]


class TopologyError(LpuBackendError):
    """A number of chips that no system has."""


class CableKind(Enum):
    """What a cable joins."""

    LOCAL = "chips of a node"
    GLOBAL = "nodes"
    RACK = "racks"


class End(NamedTuple):
    """A link of a chip."""

    chip: int
    link: int


class Cable(NamedTuple):
    """Two ends, the one of the lower chip first; it carries vectors both ways."""

    one: End
    other: End
    kind: CableKind


@dataclass(frozen=True, eq=False)
class Topology:
    """A system's cables. `far_chip` and `far_link` [chips, links] say what a link leads to, -1 for nothing."""

    spec: ChipSpec
    chips: int
    far_chip: Chips
    far_link: Chips

    @property
    def nodes(self) -> int:
        return -(-self.chips // self.spec.chips_per_node)

    @property
    def racks(self) -> int:
        return -(-self.nodes // self.spec.nodes_per_rack)

    @property
    def has_rack_cables(self) -> bool:
        """Whether racks are joined as such, not nodes all to all."""
        return self.nodes > max_nodes(self.spec)

    @property
    def links(self) -> int:
        """Cabled links of a chip, local and global."""
        return int(self.far_chip.shape[1])

    def far_end(self, chip: int, link: int) -> End | None:
        """Where a link leads, None if it is not cabled."""
        far_chip = int(self.far_chip[chip, link])
        return None if far_chip < 0 else End(far_chip, int(self.far_link[chip, link]))

    def kind(self, link: int) -> CableKind:
        """What cables at this link join."""
        local = local_links(self.spec)
        if link < local:
            return CableKind.LOCAL
        inner = self.spec.c2c_global_links_per_chip // 2
        return CableKind.RACK if self.has_rack_cables and link >= local + inner else CableKind.GLOBAL

    def node_of(self, chip: int) -> int:
        return chip // self.spec.chips_per_node

    def rack_of(self, chip: int) -> int:
        return self.node_of(chip) // self.spec.nodes_per_rack

    def cables(self) -> Iterator[Cable]:
        """Every cable once, in the order of its first end."""
        for chip, link in np.argwhere(self.far_chip >= 0).tolist():
            other = End(int(self.far_chip[chip, link]), int(self.far_link[chip, link]))
            if (chip, link) < other:
                yield Cable(End(chip, link), other, self.kind(link))


def local_links(spec: ChipSpec) -> int:
    """Links 0 to this less one are local: one to each other chip of the node."""
    return spec.chips_per_node - 1


def max_nodes(spec: ChipSpec) -> int:
    """The nodes that can be joined all to all: one more than a node has global links."""
    return spec.chips_per_node * spec.c2c_global_links_per_chip + 1


@cache
def build_topology(chips: int, spec: ChipSpec = GROQCHIP1) -> Topology:
    """A system of 1 to 8 chips, of whole nodes up to 264 chips, or of whole racks up to 10,440. TopologyError."""
    _refuse_size(chips, spec)
    node_chips, nodes = spec.chips_per_node, -(-chips // spec.chips_per_node)
    local = np.arange(local_links(spec))
    outward = local_links(spec) + np.arange(spec.c2c_global_links_per_chip)
    cabling = _Cabling(nodes * node_chips, len(local) + len(outward))
    cabling.join(np.arange(nodes) * node_chips, 1, node_chips, _Ports(np.zeros_like(local), local))
    if nodes > max_nodes(spec):
        in_rack, between_racks = np.split(outward, 2)
        rack_chips = node_chips * spec.nodes_per_rack
        racks = chips // rack_chips
        cabling.join(np.arange(racks) * rack_chips, node_chips, spec.nodes_per_rack, _list_ports(node_chips, in_rack))
        mixed = _list_ports(rack_chips, between_racks).ordered(_order_rack_ports(rack_chips * len(between_racks)))
        cabling.join(np.zeros(1, np.int64), rack_chips, racks, mixed)
    elif nodes > 1:
        cabling.join(np.zeros(1, np.int64), node_chips, nodes, _list_ports(node_chips, outward))
    return Topology(spec, chips, *cabling.cut(chips))


class _Ports(NamedTuple):
    """The ports of a group's member: which of its chips, and which link of that."""

    chip: NDArray[np.int64]
    link: NDArray[np.int64]

    def ordered(self, order: NDArray[np.int64]) -> "_Ports":
        return _Ports(self.chip[order], self.link[order])


class _Cabling:
    """Cables as they are laid."""

    def __init__(self, chips: int, links: int) -> None:
        self._far_chip = np.full((chips, links), -1, np.int32)
        self._far_link = np.full((chips, links), -1, np.int32)

    def join(self, first_chips: NDArray[np.int64], member_chips: int, members: int, ports: _Ports) -> None:
        """All pairs of members of groups; each group begins at one of `first_chips`, each member has `member_chips`."""
        copies = len(ports.link) // (members - 1)
        port = np.arange(copies * (members - 1))
        distance = port // copies + 1
        far_port = (members - distance - 1) * copies + port % copies
        member = np.arange(members)[:, np.newaxis]
        first = first_chips[:, np.newaxis, np.newaxis]
        chip = first + member * member_chips + ports.chip[port]
        far_chip = first + (member + distance) % members * member_chips + ports.chip[far_port]
        self._far_chip[chip, ports.link[port]] = far_chip
        self._far_link[chip, ports.link[port]] = ports.link[far_port]

    def cut(self, chips: int) -> tuple[Chips, Chips]:
        """Far chips and links, where the chips from this one on are not there."""
        far_chip, far_link = self._far_chip[:chips], self._far_link[:chips]
        cut = far_chip >= chips
        far_chip[cut] = far_link[cut] = -1
        return far_chip, far_link


def _list_ports(chips: int, links: NDArray[np.int64]) -> _Ports:
    """Port p is on chip p % chips, so that neighbouring ports are on different chips."""
    port = np.arange(chips * len(links))
    return _Ports(port % chips, links[port // chips])


def _order_rack_ports(ports: int) -> NDArray[np.int64]:
    """A fixed order without pattern: the ranks of quadratic residues. Found by search: at 145 racks no 7 hops."""
    residues = 116 * (np.arange(ports) + 1) ** 2 % 1_009
    return np.argsort(np.argsort(residues, kind="stable"))


def _refuse_size(chips: int, spec: ChipSpec) -> None:
    node, rack = spec.chips_per_node, spec.chips_per_node * spec.nodes_per_rack
    if not 1 <= chips <= rack * spec.max_racks:
        raise TopologyError(f"a system has 1 to {rack * spec.max_racks:,} chips, not {chips:,}")
    unit = 1 if chips <= node else node if chips <= node * max_nodes(spec) else rack
    if chips % unit:
        above = chips + unit - chips % unit
        raise TopologyError(f"{chips:,} chips are no whole {'node' if unit == node else 'rack'}s; {above:,} are")
