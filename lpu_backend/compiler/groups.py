"""Where a tensor-parallel group lies in a system: its chips, those that may hand vectors on for it, and its cables."""

from dataclasses import dataclass, replace

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.network.topology import Topology, build_topology, max_nodes

RACK_CABLED_RACKS = 4
"""The fewest whole racks that are more than 33 nodes, so that racks are cabled as such."""


@dataclass(frozen=True)
class GroupShape:
    """`chips` consecutive chips from `first_chip` on, of a system of `system_chips` (0: the least that holds them).

    `spare_chips` after the last one are idle and may hand vectors on, as far as they are in a node with one of the
    group. Only a group of one node is the same wherever it lies: what cables join the nodes depends on the system.
    """

    chips: int
    first_chip: int = 0
    system_chips: int = 0
    spare_chips: int = 0

    def topology(self, spec: ChipSpec = GROQCHIP1) -> Topology:
        """The system's cables. TopologyError for a size that no system has."""
        return build_topology(self.system_chips or _least_system(self.end_chip, spec), spec)

    @property
    def members(self) -> range:
        """The chips' numbers in the system."""
        return range(self.first_chip, self.first_chip + self.chips)

    @property
    def end_chip(self) -> int:
        """Past the last chip that the group has, or may use."""
        return self.first_chip + self.chips + self.spare_chips

    def next_group(self) -> "GroupShape":
        """As many chips, behind these and their spare ones."""
        return replace(self, first_chip=self.end_chip)

    def nodes(self, spec: ChipSpec) -> range:
        """Numbers of the nodes in which the members are."""
        return range(self.members[0] // spec.chips_per_node, self.members[-1] // spec.chips_per_node + 1)

    def refuse_misfit(self, spec: ChipSpec) -> None:
        """CompileError for a group that is in no one rack, or not in its system."""
        rack_chips = spec.chips_per_node * spec.nodes_per_rack
        if not 1 <= self.chips <= rack_chips or min(self.first_chip, self.spare_chips) < 0:
            raise CompileError(
                f"a group has 1 to {rack_chips} chips of a rack, not {self.chips} from {self.first_chip}"
            )
        topology = self.topology(spec)
        if self.end_chip > topology.chips:
            raise CompileError(f"chips up to {self.end_chip - 1} are not in a system of {topology.chips}")
        if topology.has_rack_cables and topology.rack_of(self.members[0]) != topology.rack_of(self.members[-1]):
            raise CompileError(f"chips {self.members[0]} to {self.members[-1]} are in two racks")

    def canonical(self, spec: ChipSpec) -> "GroupShape":
        """The group nearest to chip 0 that is cabled alike: cables depend on how far nodes are apart, not which."""
        nodes = self.nodes(spec)
        if len(nodes) == 1:
            return GroupShape(self.chips)
        topology = self.topology(spec)
        racks = spec.chips_per_node * spec.nodes_per_rack * RACK_CABLED_RACKS
        shape = replace(self, first_chip=self.first_chip % spec.chips_per_node)
        return replace(shape, system_chips=racks if topology.has_rack_cables else topology.chips)


def _least_system(chips: int, spec: ChipSpec) -> int:
    node = spec.chips_per_node
    unit = 1 if chips <= node else node if chips <= node * max_nodes(spec) else node * spec.nodes_per_rack
    return -(-chips // unit) * unit
