"""What a cluster has: chips in nodes in racks, of which some have failed, some are taken, and some nodes are spares.

Assumed, since the sources of this package name no number: the last node of every rack, of nine when it is whole, is a
spare. It takes no instance until a chip fails. A system of one node has none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lpu_backend.network.topology import Topology


@dataclass(frozen=True)
class Inventory:
    """The state of every chip at one moment. `taken` says which instance holds a chip; instances are numbers."""

    topology: Topology
    failed: frozenset[int] = frozenset()
    taken: Mapping[int, int] = field(default_factory=dict)

    @property
    def chips_per_node(self) -> int:
        return self.topology.spec.chips_per_node

    def list_nodes(self, *, are_spares: bool) -> list[int]:
        """The spare nodes, or all others, in order."""
        return [node for node in range(self.topology.nodes) if self.is_spare(node) == are_spares]

    def is_spare(self, node: int) -> bool:
        in_rack = self.topology.spec.nodes_per_rack
        is_last_of_rack = node % in_rack == in_rack - 1 or node == self.topology.nodes - 1
        return is_last_of_rack and node % in_rack > 0

    def list_chips(self, node: int) -> range:
        first = node * self.chips_per_node
        return range(first, min(first + self.chips_per_node, self.topology.chips))

    def list_free(self, node: int) -> list[int]:
        """The node's chips that work and that nobody holds."""
        return [chip for chip in self.list_chips(node) if chip not in self.taken and chip not in self.failed]

    def is_whole_and_free(self, node: int) -> bool:
        return len(self.list_free(node)) == self.chips_per_node

    def with_placed(self, instance: int, chips: Iterable[int]) -> "Inventory":
        """The same cluster where the instance holds these chips, and no others."""
        others = {chip: holder for chip, holder in self.taken.items() if holder != instance}
        return replace(self, taken={**others, **dict.fromkeys(chips, instance)})

    def with_failed(self, chip: int) -> "Inventory":
        return replace(self, failed=self.failed | {chip})

    def with_repaired(self, chip: int) -> "Inventory":
        return replace(self, failed=self.failed - {chip})
