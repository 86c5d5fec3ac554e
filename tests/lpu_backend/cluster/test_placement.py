"""Instances on chips: none twice, none on a failed chip, spares kept until a chip fails."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend import Inventory, NoRoomError, NoSpareError, PlacementError, build_topology
from lpu_backend import move_instance as move
from lpu_backend import place_instance as place

ONE_NODE, ONE_RACK, TWO_RACKS, FIVE_RACKS = 8, 72, 144, 360


def cluster(chips: int) -> Inventory:
    return Inventory(build_topology(chips))


def nodes_of(inventory: Inventory, chips: tuple[int, ...]) -> list[int]:
    return sorted({inventory.topology.node_of(chip) for chip in chips})


@pytest.mark.parametrize(
    ("chips", "spares"), [(1, []), (8, []), (16, [1]), (72, [8]), (80, [8]), (88, [8, 10]), (144, [8, 17])]
)
def test_the_last_node_of_every_rack_is_a_spare(chips: int, spares: list[int]) -> None:
    assert cluster(chips).list_nodes(are_spares=True) == spares


def test_a_small_instance_lies_in_one_node() -> None:
    assert place(cluster(ONE_RACK), 3) == (0, 1, 2)


def test_a_small_instance_goes_where_least_is_left_so_that_whole_nodes_stay_whole() -> None:
    inventory = cluster(ONE_RACK).with_placed(1, range(3)).with_placed(2, range(8, 14))
    assert place(inventory, 2) == (14, 15)
    assert place(inventory, 3) == (3, 4, 5)
    assert place(inventory, 6) == (16, 17, 18, 19, 20, 21)


def test_a_large_instance_takes_whole_nodes() -> None:
    inventory = cluster(ONE_RACK).with_placed(1, [0])
    assert nodes_of(inventory, place(inventory, 16)) == [1, 2]


def test_a_large_instance_stays_in_one_rack_where_it_can() -> None:
    inventory = cluster(TWO_RACKS).with_placed(1, range(8 * 5))
    assert nodes_of(inventory, place(inventory, 8 * 4)) == [9, 10, 11, 12]
    assert nodes_of(inventory, place(inventory, 8 * 3)) == [5, 6, 7]


def test_it_spans_racks_where_one_is_too_small() -> None:
    inventory = cluster(TWO_RACKS)
    placement = place(inventory, 8 * 10)
    assert nodes_of(inventory, placement) == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]


def test_a_refusal_says_how_many_chips_are_needed_and_how_many_are_free() -> None:
    inventory = cluster(ONE_RACK).with_placed(1, [0])
    with pytest.raises(NoRoomError, match=r"64 chips are needed as 8 whole nodes; 63 are free, 7 nodes of them whole"):
        place(inventory, 64)


def test_free_chips_that_are_scattered_are_no_room() -> None:
    inventory = cluster(16).with_placed(1, range(4))
    with pytest.raises(NoRoomError, match="5 chips are needed in one node; 4 are free"):
        place(inventory, 5)


@pytest.mark.parametrize(("chips", "message"), [(0, "at least 1"), (12, "12 chips are no whole nodes of 8; 16 are")])
def test_it_refuses_a_number_of_chips_that_no_program_has(chips: int, message: str) -> None:
    with pytest.raises(PlacementError, match=message):
        place(cluster(ONE_RACK), chips)


def test_a_failed_chip_moves_its_node_to_the_spare_of_its_rack() -> None:
    inventory = cluster(TWO_RACKS)
    placement = tuple(range(72, 88))
    broken = inventory.with_placed(1, placement).with_failed(75)
    assert move(broken, placement) == (*range(136, 144), *range(80, 88))


def test_another_racks_spare_stands_in_when_the_own_is_gone() -> None:
    inventory = cluster(TWO_RACKS).with_placed(9, range(136, 144)).with_placed(1, range(72, 80))
    assert move(inventory.with_failed(72), tuple(range(72, 80))) == tuple(range(64, 72))


def test_free_chips_stand_in_when_no_spare_is_left() -> None:
    inventory = cluster(ONE_RACK).with_placed(9, range(64, 72)).with_placed(1, [0, 1])
    assert move(inventory.with_failed(1), (0, 1)) == (8, 9)


def test_a_failed_chip_without_anything_to_stand_in_is_said_so() -> None:
    inventory = cluster(ONE_NODE).with_placed(1, range(8))
    with pytest.raises(NoSpareError, match="node 0 has a failed chip"):
        move(inventory.with_failed(3), tuple(range(8)))


def test_a_failed_chip_of_others_moves_nothing() -> None:
    inventory = cluster(ONE_RACK).with_placed(1, [0, 1])
    assert move(inventory.with_failed(2), (0, 1)) == (0, 1)


def test_an_instance_that_a_failure_put_out_of_service_may_come_back_on_a_spare() -> None:
    inventory = cluster(16).with_failed(0)
    with pytest.raises(NoRoomError):
        place(inventory, 8)
    assert place(inventory, 8, may_use_spares=True) == tuple(range(8, 16))


@given(
    size=st.sampled_from([1, 5, 8, 16, ONE_RACK, 80, TWO_RACKS, FIVE_RACKS]),
    events=st.lists(
        st.one_of(
            st.tuples(st.just("place"), st.sampled_from([1, 2, 3, 5, 8, 16, 24, 64, 80])),
            st.tuples(st.sampled_from(["fail", "repair", "remove"]), st.integers(0, FIVE_RACKS - 1)),
        ),
        max_size=40,
    ),
)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_no_chip_is_used_twice_nor_a_failed_one_and_spares_are_kept(
    size: int, events: list[tuple[str, int]]
) -> None:
    inventory, instances, has_failed = cluster(size), dict[int, tuple[int, ...]](), False
    for number, (event, value) in enumerate(events):
        if event == "place":
            inventory = _place(inventory, instances, number, value)
        elif event == "remove" and instances:
            gone = sorted(instances)[value % len(instances)]
            del instances[gone]
            inventory = inventory.with_placed(gone, ())
        elif event == "repair":
            inventory = inventory.with_repaired(value % size)
        elif event == "fail":
            has_failed = True
            inventory = _fail(inventory, instances, value % size)
        _check(inventory, instances, has_failed)


def _place(inventory: Inventory, instances: dict[int, tuple[int, ...]], number: int, chips: int) -> Inventory:
    try:
        placement = place(inventory, chips)
    except NoRoomError:
        return inventory
    assert len(placement) == chips
    assert not set(placement) & set(inventory.taken)
    assert not any(inventory.is_spare(inventory.topology.node_of(chip)) for chip in placement)
    assert place(inventory, chips) == placement
    instances[number] = placement
    return inventory.with_placed(number, placement)


def _fail(inventory: Inventory, instances: dict[int, tuple[int, ...]], chip: int) -> Inventory:
    inventory = inventory.with_failed(chip)
    holder = inventory.taken.get(chip)
    if holder is None:
        return inventory
    try:
        instances[holder] = move(inventory, instances[holder])
    except NoSpareError:
        del instances[holder]
        return inventory.with_placed(holder, ())
    return inventory.with_placed(holder, instances[holder])


def _check(inventory: Inventory, instances: dict[int, tuple[int, ...]], has_failed: bool) -> None:
    held = Counter(chip for placement in instances.values() for chip in placement)
    assert all(count == 1 for count in held.values())
    assert not set(held) & inventory.failed
    assert set(held) == set(inventory.taken)
    per_node = inventory.chips_per_node
    for placement in instances.values():
        nodes = nodes_of(inventory, placement)
        assert len(nodes) == (1 if len(placement) <= per_node else len(placement) // per_node)
    if not has_failed:
        assert not any(inventory.is_spare(inventory.topology.node_of(chip)) for chip in held)
