"""All-reduce, all-gather, reduce-scatter and broadcast as contention-free schedules.

A tensor is `rows` rows of 320 elements, each a vector a byte of the element (`vectors_per_row`). Row r belongs to chip
r modulo the chips. The order of every sum is fixed (`plan.Reduction`), so all chips and all ways to do an all-reduce on
one node end with the same bits, also in floating point.
"""

from enum import Enum

from lpu_backend.network.plan import Collective, CollectivePlan, Move, Value
from lpu_backend.network.timing import NetworkTiming
from lpu_backend.network.topology import Topology, TopologyError


class Algorithm(Enum):
    """Ways to do a collective. Where none is asked for, the one that ends first is taken."""

    DIRECT = "everything at once, straight to where it is needed"
    STAGED = "in stages, a share of the rows a chip"


_LEVEL_CHIP, _LEVEL_NODE, _LEVEL_ALL = range(3)


def all_reduce(
    topology: Topology,
    rows: int,
    timing: NetworkTiming,
    vectors_per_row: int = 1,
    algorithm: Algorithm | None = None,
) -> Collective:
    """Every chip ends with the sum over all chips. On several nodes always in stages, by nodes.

    On one node, DIRECT: every chip sends everything to all and adds by itself, one hop and a reduction. STAGED: a
    reduce-scatter, and as soon as a row's sum is there, its all-gather: two hops, but 2/n of the vectors on a link.
    TopologyError for part of a node beside others, or a single chip.
    """
    if topology.nodes > 1:
        return _reduce_by_nodes(topology, rows, timing, vectors_per_row)
    _refuse_many_nodes(topology)
    if algorithm is not None:
        return _REDUCE[algorithm](topology, rows, timing, vectors_per_row)
    staged = _reduce_staged(topology, rows, timing, vectors_per_row)
    # With v vectors, a link's interval i, a hop h, and r for a hop and a reduction, direct takes v i + r and staged
    # some max(v i / n, r) + v i / n + h: no more, from v i = 3 r on.
    if rows * vectors_per_row * timing.interval_cycles > 3 * (timing.hop_cycles + timing.reduction_cycles):
        return staged
    direct = _reduce_direct(topology, rows, timing, vectors_per_row)
    return min(direct, staged, key=lambda collective: collective.finish_cycle)


def all_gather(topology: Topology, rows: int, timing: NetworkTiming, vectors_per_row: int = 1) -> Collective:
    """Every chip ends with the `rows` rows of every chip of the node. TopologyError for more than a node."""
    _refuse_many_nodes(topology)
    plan, chips = CollectivePlan(topology, timing, rows, vectors_per_row), range(topology.chips)
    plan.move(_to_others(chips, Value(_LEVEL_CHIP, chip, row), chip) for row in range(rows) for chip in chips)
    held = tuple(Value(_LEVEL_CHIP, chip, row) for chip in chips for row in range(rows))
    return plan.finish("all-gather", [held] * topology.chips)


def reduce_scatter(topology: Topology, rows: int, timing: NetworkTiming, vectors_per_row: int = 1) -> Collective:
    """Chip k of n ends with the sum over the node of rows k, k + n, k + 2 n ... TopologyError for more than a node."""
    _refuse_many_nodes(topology)
    plan, chips = CollectivePlan(topology, timing, rows, vectors_per_row), range(topology.chips)
    _scatter_node_sums(plan, [chips], rows)
    sums = [tuple(Value(_LEVEL_NODE, 0, row) for row in range(chip, rows, topology.chips)) for chip in chips]
    return plan.finish("reduce-scatter", sums)


def broadcast(
    topology: Topology,
    root: int,
    rows: int,
    timing: NetworkTiming,
    vectors_per_row: int = 1,
    algorithm: Algorithm | None = None,
) -> Collective:
    """Every chip of the node ends with the root's rows. TopologyError for more than a node.

    DIRECT: the root sends every row to all. STAGED: it sends each row to one chip, in turn, which hands it on to the
    others as it comes in: one hop more, but each of the root's links carries a share of the rows.
    """
    _refuse_many_nodes(topology)
    ways = [algorithm] if algorithm else list(Algorithm)
    found = [_broadcast(topology, root, rows, timing, vectors_per_row, way) for way in ways]
    return min(found, key=lambda collective: collective.finish_cycle)


def _broadcast(
    topology: Topology, root: int, rows: int, timing: NetworkTiming, vectors_per_row: int, algorithm: Algorithm
) -> Collective:
    plan, chips = CollectivePlan(topology, timing, rows, vectors_per_row), range(topology.chips)
    others = tuple(chip for chip in chips if chip != root)
    values = tuple(Value(_LEVEL_CHIP, root, row) for row in range(rows))
    staged = algorithm is Algorithm.STAGED
    plan.move(Move(value, root, others, others[value.row % len(others)] if staged else None) for value in values)
    return plan.finish(f"broadcast, {algorithm.name.lower()}", [values] * topology.chips)


def _reduce_direct(topology: Topology, rows: int, timing: NetworkTiming, vectors_per_row: int) -> Collective:
    plan, chips = CollectivePlan(topology, timing, rows, vectors_per_row), range(topology.chips)
    plan.move(_to_others(chips, Value(_LEVEL_CHIP, chip, row), chip) for row in range(rows) for chip in chips)
    for row in range(rows):
        for chip in chips:
            terms = [Value(_LEVEL_CHIP, other, row) for other in chips]
            plan.reduce(chip, terms, Value(_LEVEL_NODE, 0, row))
    return plan.finish("all-reduce, direct", [_sums(_LEVEL_NODE, rows)] * topology.chips)


def _reduce_staged(topology: Topology, rows: int, timing: NetworkTiming, vectors_per_row: int) -> Collective:
    plan, chips = CollectivePlan(topology, timing, rows, vectors_per_row), range(topology.chips)
    _scatter_node_sums(plan, [chips], rows)
    plan.move(_to_others(chips, Value(_LEVEL_NODE, 0, row), chips[row % len(chips)]) for row in range(rows))
    return plan.finish("all-reduce, staged", [_sums(_LEVEL_NODE, rows)] * topology.chips)


_REDUCE = {Algorithm.DIRECT: _reduce_direct, Algorithm.STAGED: _reduce_staged}


def _reduce_by_nodes(topology: Topology, rows: int, timing: NetworkTiming, vectors_per_row: int) -> Collective:
    """Reduce-scatter in each node, then among the nodes' chips of the same place, and all-gathers the same way back."""
    node_chips, count = topology.spec.chips_per_node, topology.nodes
    nodes = [range(node * node_chips, (node + 1) * node_chips) for node in range(count)]
    plan = CollectivePlan(topology, timing, rows, vectors_per_row)
    _scatter_node_sums(plan, nodes, rows)
    # Row r is with chip r modulo 8 of each node; the nodes take turns in adding it up.
    holders = [[node[row % node_chips] for node in nodes] for row in range(rows)]
    owners = [holders[row][row // node_chips % count] for row in range(rows)]
    plan.move(
        Move(Value(_LEVEL_NODE, node, row), holder, (owners[row],))
        for row in range(rows)
        for node, holder in enumerate(holders[row])
        if holder != owners[row]
    )
    for row, total in enumerate(_sums(_LEVEL_ALL, rows)):
        plan.reduce(owners[row], [Value(_LEVEL_NODE, node, row) for node in range(count)], total)
    plan.move(_to_others(holders[row], total, owners[row]) for row, total in enumerate(_sums(_LEVEL_ALL, rows)))
    plan.move(
        _to_others(node, total, holders[row][place])
        for row, total in enumerate(_sums(_LEVEL_ALL, rows))
        for place, node in enumerate(nodes)
    )
    return plan.finish("all-reduce, by nodes", [_sums(_LEVEL_ALL, rows)] * topology.chips)


def _scatter_node_sums(plan: CollectivePlan, nodes: list[range], rows: int) -> None:
    """Each row to the chip of each node that adds it."""
    plan.move(
        Move(Value(_LEVEL_CHIP, chip, row), chip, (node[row % len(node)],))
        for row in range(rows)
        for node in nodes
        for chip in node
        if chip != node[row % len(node)]
    )
    for row in range(rows):
        for index, node in enumerate(nodes):
            terms = [Value(_LEVEL_CHIP, chip, row) for chip in node]
            plan.reduce(node[row % len(node)], terms, Value(_LEVEL_NODE, index, row))


def _to_others(chips: range | list[int], value: Value, source: int) -> Move:
    return Move(value, source, tuple(chip for chip in chips if chip != source))


def _sums(level: int, rows: int) -> tuple[Value, ...]:
    return tuple(Value(level, 0, row) for row in range(rows))


def _refuse_many_nodes(topology: Topology) -> None:
    if topology.nodes > 1 or topology.chips < 2:
        raise TopologyError(f"this collective is for 2 to {topology.spec.chips_per_node} chips, not {topology.chips}")
