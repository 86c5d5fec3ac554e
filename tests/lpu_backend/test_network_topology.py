"""Chips, nodes, racks and the cables between them; and the routes over these."""

import numpy as np
import pytest

from lpu_backend.network.routes import Router, find_diameter, grow_tree
from lpu_backend.network.summary import summarise_topology, tabulate_topology
from lpu_backend.network.timing import HopMode
from lpu_backend.network.topology import CableKind, Topology, TopologyError, build_topology
from lpu_backend.programs.catalogue import load_example

LARGEST = 10_440
SIZES = (1, 2, 5, 8, 16, 24, 72, 264, 288, 720, 72 * 144, LARGEST)


def list_pairs(topology: Topology, chips_a_group: int) -> dict[tuple[int, int], int]:
    """How many cables join two groups of this many chips."""
    pairs: dict[tuple[int, int], int] = {}
    for one, other, _ in topology.cables():
        groups = one.chip // chips_a_group, other.chip // chips_a_group
        pairs[min(groups), max(groups)] = pairs.get((min(groups), max(groups)), 0) + 1
    return pairs


def count_hops(neighbours: list[list[int]], start: int) -> list[int]:
    """By a search that shares nothing with the package's."""
    hops = [-1] * len(neighbours)
    hops[start] = 0
    queue = [start]
    for here in queue:
        for there in neighbours[here]:
            if hops[there] < 0:
                hops[there] = hops[here] + 1
                queue.append(there)
    return hops


def list_neighbours(topology: Topology, chips_a_group: int = 1) -> list[list[int]]:
    neighbours: list[set[int]] = [set() for _ in range(topology.chips // chips_a_group)]
    for one, other, _ in topology.cables():
        neighbours[one.chip // chips_a_group].add(other.chip // chips_a_group)
        neighbours[other.chip // chips_a_group].add(one.chip // chips_a_group)
    return [sorted(near) for near in neighbours]


@pytest.mark.parametrize("chips", SIZES)
def test_every_cable_has_two_ends_that_lead_to_each_other(chips: int) -> None:
    topology = build_topology(chips)
    chip, link = np.nonzero(topology.far_chip >= 0)
    far_chip, far_link = topology.far_chip[chip, link], topology.far_link[chip, link]
    np.testing.assert_array_equal(topology.far_chip[far_chip, far_link], chip)
    np.testing.assert_array_equal(topology.far_link[far_chip, far_link], link)
    assert not (far_chip == chip).any()
    assert topology.far_end(0, 10) is None or chips > 8


def test_a_node_is_cabled_as_the_example_program_says() -> None:
    example = {tuple(vars(link).values()) for link in load_example("all-reduce-8").links}
    ends = ((cable.one, cable.other) for cable in build_topology(8).cables())
    assert {(*one, *other) for one, other in ends} == example


@pytest.mark.parametrize(("nodes", "cables"), [(2, 32), (3, 16), (9, 4), (17, 2), (32, 1), (33, 1)])
def test_up_to_33_nodes_are_all_joined_by_as_many_cables_as_fit(nodes: int, cables: int) -> None:
    pairs = list_pairs(build_topology(8 * nodes), 8)
    assert all(pairs[one, other] == cables for one in range(nodes) for other in range(one + 1, nodes))
    assert all(pairs[node, node] == 28 for node in range(nodes))


def test_145_racks_use_every_link_and_join_every_pair_of_racks_once() -> None:
    topology = build_topology(LARGEST)
    assert (topology.far_chip >= 0).all()
    racks = list_pairs(topology, 72)
    assert all(racks[one, other] == 1 for one in range(145) for other in range(one + 1, 145))
    nodes = list_pairs(topology, 8)
    assert all(nodes[one, other] == 2 for one in range(9) for other in range(one + 1, 9))
    kinds = {cable.kind for cable in topology.cables()}
    assert kinds == set(CableKind)


def test_every_rack_and_node_is_placed_as_the_first() -> None:
    """So the searches from the chips of one rack, or of one node, stand for all."""
    for chips, group in ((264, 8), (72 * 20, 72), (LARGEST, 72)):
        topology = build_topology(chips)
        np.testing.assert_array_equal(np.roll(topology.far_link, group, axis=0), topology.far_link)
        moved = (np.roll(topology.far_chip, group, axis=0) + group) % chips
        np.testing.assert_array_equal(np.where(topology.far_chip < 0, -1, moved), topology.far_chip)


def test_264_chips_are_three_hops_apart_at_most() -> None:
    neighbours = list_neighbours(build_topology(264))
    assert {max(count_hops(neighbours, chip)) for chip in range(0, 264, 5)} == {3}


@pytest.mark.parametrize(("racks", "hops"), [(4, 4), (5, 5), (19, 5), (20, 6), (144, 7)])
def test_smaller_systems_of_racks_are_as_far_across_as_documented(racks: int, hops: int) -> None:
    assert find_diameter(build_topology(72 * racks)) == hops


def test_10440_chips_are_three_cables_between_nodes_and_six_hops_apart_at_most() -> None:
    topology = build_topology(LARGEST)
    nodes = list_neighbours(topology, 8)
    assert {max(count_hops(nodes, node)) for node in range(9)} == {3}
    assert find_diameter(topology) == 6
    router, chips = Router(topology), list_neighbours(topology)
    for chip in (0, 71, 5_000):
        assert router.distances(chip).tolist() == count_hops(chips, chip)


def test_no_chip_can_reach_its_rack_in_two_hops() -> None:
    """Which is why five hops from chip to chip, two of them in each rack, cannot be."""
    topology = build_topology(LARGEST)
    rack = [[chip for chip in near if chip < 72] for near in list_neighbours(topology)[:72]]
    within_two = [sum(0 <= hops <= 2 for hops in count_hops(rack, chip)) for chip in range(72)]
    assert max(within_two) <= 1 + 9 + 7 * 2 + 2 * 7 + 2 < 72


@pytest.mark.parametrize(("chips", "message"), [(0, "1 to 10,440"), (12, "16 are"), (272, "288 are"), (10_512, "1 to")])
def test_a_size_that_no_system_has_is_refused(chips: int, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        build_topology(chips)


@pytest.mark.parametrize("chips", [6, 264, 1_440])
def test_routes_follow_cables_and_are_as_short_as_can_be(chips: int) -> None:
    topology = build_topology(chips)
    router, neighbours = Router(topology), list_neighbours(topology)
    hops = count_hops(neighbours, 3)
    for destination in range(0, chips, max(1, chips // 40)):
        route = router.route(3, destination)
        assert len(route) == hops[destination]
        assert route == Router(topology).route(3, destination)
        chip = 3
        for hop in route:
            assert hop.chip == chip
            chip = topology.far_end(*hop).chip
        assert chip == destination


def test_pairs_of_chips_share_the_cables_between_their_nodes() -> None:
    router = Router(build_topology(16))
    assert {router.route(chip, chip + 8)[0].link for chip in range(8)} == {7, 8, 9, 10}


def test_detours_in_a_node_are_the_seven_links_and_each_begins_with_another() -> None:
    routes = Router(build_topology(8)).detours(2, 6, 1)
    assert [len(route) for route in routes] == [1, 2, 2, 2, 2, 2, 2]
    assert {route[0].link for route in routes} == set(range(7))


def test_a_tree_comes_to_every_chip_once() -> None:
    topology = build_topology(72 * 5)
    destinations = range(1, 360, 7)
    tree = grow_tree(Router(topology), 0, destinations)
    reached = [topology.far_end(*hop).chip for hop in tree]
    assert len(set(reached)) == len(reached)
    assert set(reached) >= set(destinations)
    assert all(hop.chip in {0, *reached[:place]} for place, hop in enumerate(tree))


def test_a_hop_has_three_published_figures() -> None:
    assert [(mode.ns(), mode.cycles()) for mode in HopMode] == [(241, 217), (300, 270), (722, 650)]


def test_the_summary_of_the_largest_system() -> None:
    summary = summarise_topology(LARGEST)
    assert (summary.nodes, summary.racks) == (1_305, 145)
    assert list(summary.cables.values()) == [36_540, 10_440, 10_440]
    assert summary.sram_bytes > 2e12
    assert summary.far_ns[HopMode.FORWARDED] == 1_800 < 3_000
    assert summary.bisection_cables == 72 * 73
    assert ("diameter, hops from chip to chip", "6") in tabulate_topology(summary)


def test_a_nodes_bisection_is_four_by_four_cables() -> None:
    summary = summarise_topology(8)
    assert summary.bisection_cables == 16
    assert summary.bisection_bytes_per_second == pytest.approx(16 * 10.67e9, rel=1e-3)
