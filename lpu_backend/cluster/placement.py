"""Which chips an instance gets, and which it gets instead when one of them fails. The same state, the same answer.

An instance of up to one node's chips lies in one node, beside others if need be, so that its chips stay fully
connected; a larger one takes whole nodes. The order of a placement is the program's: its chip `i` runs on `chips[i]`.
"""

from collections.abc import Iterable, Sequence

from lpu_backend.cluster.inventory import Inventory
from lpu_backend.exceptions import LpuBackendError

Placement = tuple[int, ...]


class PlacementError(LpuBackendError):
    """An instance that cannot be placed; the message says how many chips are needed and how many are free."""


class NoRoomError(PlacementError):
    """Not enough chips are free."""


class NoSpareError(PlacementError):
    """A chip failed, and nothing is left that could stand in for its node."""


def check_chip_count(chips: int, chips_per_node: int) -> None:
    """Raises PlacementError unless a program can have this many chips: up to one node's, or whole nodes."""
    if chips < 1:
        raise PlacementError(f"an instance has at least 1 chip, not {chips}")
    if chips > chips_per_node and chips % chips_per_node:
        above = chips + chips_per_node - chips % chips_per_node
        raise PlacementError(f"{chips:,} chips are no whole nodes of {chips_per_node}; {above:,} are")


def place_instance(inventory: Inventory, chips: int, *, may_use_spares: bool = False) -> Placement:
    """Free chips for an instance. Spare nodes are left alone, unless a failure put it out of service before.

    Raises NoRoomError, or PlacementError for a number of chips that no program has.
    """
    check_chip_count(chips, inventory.chips_per_node)
    nodes = inventory.list_nodes(are_spares=False)
    placement = _place_on(inventory, nodes, chips)
    if placement is None and may_use_spares:
        placement = _place_on(inventory, list(range(inventory.topology.nodes)), chips)
    if placement is None:
        raise NoRoomError(_describe_room(inventory, nodes, chips))
    return placement


def move_instance(inventory: Inventory, placement: Sequence[int]) -> Placement:
    """The placement with every node that has a failed chip of it replaced: by the spare of its rack, else by another
    spare, else by what is free on the other nodes. What lies on other nodes stays.

    Raises NoSpareError when that is impossible.
    """
    topology = inventory.topology
    broken = sorted({topology.node_of(chip) for chip in placement if chip in inventory.failed})
    moved = list(placement)
    for node in broken:
        places = [place for place, chip in enumerate(placement) if topology.node_of(chip) == node]
        stand_ins = _choose_stand_ins(inventory, node, len(places), moved)
        for place, chip in zip(places, stand_ins, strict=True):
            moved[place] = chip
    return tuple(moved)


def _place_on(inventory: Inventory, nodes: list[int], chips: int) -> Placement | None:
    if chips < inventory.chips_per_node:
        node = _choose_part(inventory, nodes, chips)
        chosen = None if node is None else [node]
    else:
        chosen = _choose_whole(inventory, nodes, chips // inventory.chips_per_node)
    if chosen is None:
        return None
    return tuple(chip for node in chosen for chip in inventory.list_free(node))[:chips]


def _choose_stand_ins(inventory: Inventory, broken: int, chips: int, held: Iterable[int]) -> list[int]:
    in_rack = inventory.topology.spec.nodes_per_rack
    held = set(held)
    spares = inventory.list_nodes(are_spares=True)
    near_first = sorted(spares, key=lambda node: (node // in_rack != broken // in_rack, node))
    for nodes in (near_first, inventory.list_nodes(are_spares=False)):
        for node in nodes:
            free = [chip for chip in inventory.list_free(node) if chip not in held]
            if node != broken and len(free) >= chips:
                return free[:chips]
    raise NoSpareError(
        f"node {broken} has a failed chip, and neither a spare node nor another one has {chips} free "
        f"{'chip' if chips == 1 else 'chips'}"
    )


def _choose_part(inventory: Inventory, nodes: list[int], chips: int) -> int | None:
    """The node with the fewest free chips that suffice, so that whole nodes stay whole."""
    fitting = [(len(free), node) for node in nodes if len(free := inventory.list_free(node)) >= chips]
    return min(fitting)[1] if fitting else None


def _choose_whole(inventory: Inventory, nodes: list[int], count: int) -> list[int] | None:
    """The rack with the fewest free nodes that suffice; else as few racks as can be, those with most free nodes."""
    racks: dict[int, list[int]] = {}
    for node in filter(inventory.is_whole_and_free, nodes):
        racks.setdefault(node // inventory.topology.spec.nodes_per_rack, []).append(node)
    fitting = [(len(free), rack) for rack, free in racks.items() if len(free) >= count]
    if fitting:
        return racks[min(fitting)[1]][:count]
    by_room = sorted(racks.values(), key=lambda free: (-len(free), free))
    chosen = [node for free in by_room for node in free][:count]
    return chosen if len(chosen) == count else None


def _describe_room(inventory: Inventory, nodes: list[int], chips: int) -> str:
    free = sum(len(inventory.list_free(node)) for node in nodes)
    whole = sum(inventory.is_whole_and_free(node) for node in nodes)
    per_node = inventory.chips_per_node
    shape = "in one node" if chips <= per_node else f"as {chips // per_node:,} whole nodes"
    spares = len(inventory.list_nodes(are_spares=True))
    return (
        f"{chips:,} {'chip is' if chips == 1 else 'chips are'} needed {shape}; {free:,} are free, {whole:,} nodes of "
        f"them whole ({spares:,} spare nodes are kept for failures)"
    )
