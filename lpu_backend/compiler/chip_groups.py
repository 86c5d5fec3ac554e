"""Where chip groups lie in a system: within a node where a node's chips suffice, else within a rack."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from lpu_backend.chip import ChipSpec


class ChipGroup(NamedTuple):
    """`chips` chips in a row, from `first_chip` of the system on."""

    first_chip: int
    chips: int

    @property
    def after(self) -> int:
        """The chip behind the last one."""
        return self.first_chip + self.chips


def count_rack_chips(chip: ChipSpec) -> int:
    """Chips of a rack."""
    return chip.chips_per_node * chip.nodes_per_rack


def home_chips(chips: int, chip: ChipSpec) -> int:
    """Chips of the node, or the rack, that a group of `chips` lies in."""
    return chip.chips_per_node if chips <= chip.chips_per_node else count_rack_chips(chip)


def list_groups(chips: int, chip: ChipSpec) -> Iterator[ChipGroup]:
    """Groups of `chips` in the largest system, in order: as many in each node (or rack) as it has room for."""
    home = home_chips(chips, chip)
    for first in range(0, count_rack_chips(chip) * chip.max_racks, home):
        for place in range(home // chips):
            yield ChipGroup(first + place * chips, chips)


def list_rests(chips: int, chip: ChipSpec) -> Iterator[ChipGroup]:
    """What groups of `chips` leave at the end of each node (or rack), if anything: a node's chips at most."""
    home = home_chips(chips, chip)
    rest = min(home % chips, chip.chips_per_node)
    if rest:
        for first in range(0, count_rack_chips(chip) * chip.max_racks, home):
            yield ChipGroup(first + home - rest, rest)


def find_least_node_part(chips: int, chip: ChipSpec) -> int:
    """Of all nodes that groups of more than a node lie in, the fewest chips of one that are of one group."""
    node, parts = chip.chips_per_node, []
    for group in islice(list_groups(chips, chip), count_rack_chips(chip) // chips):
        nodes = range(group.first_chip // node, (group.after - 1) // node + 1)
        parts += [min(group.after, (at + 1) * node) - max(group.first_chip, at * node) for at in nodes]
    return min(parts)
