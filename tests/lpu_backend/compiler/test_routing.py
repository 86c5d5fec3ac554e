"""Windows of all-gathers and hand-offs: on the machine every row comes to its place, in just the cycles foretold."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend.checker import check_program
from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.gather_schedule import Action
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.handoff import plan_handoff, route_handoff
from lpu_backend.compiler.routing import GatherWindow, route_gather
from lpu_backend.compiler.value_place import ValuePlace
from lpu_backend.compiler.window_check import WindowError, verify_window
from lpu_backend.isa.instructions import Instruction, Read, Receive, Send, Write
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Program, Region
from lpu_backend.machine import Run, run_program
from lpu_backend.network.lowering import TimedQueues, list_links
from lpu_backend.network.prologue import count_prologue_cycles, fill_queues
from lpu_backend.network.topology import Topology
from tests.lpu_backend.small_chip import SMALL_CHIP

Array = NDArray[Any]


def place_value(chip: ChipSpec, side: str, row_bytes: int, spread: int, address: int) -> ValuePlace:
    """From the VXM outward on one side; what the small chip has no room for, on the other."""
    other = "E" if side == "W" else "W"
    names = [f"MEM_{way}{place}" for way in (side, other) for place in range(chip.slices_each_side)]
    return ValuePlace(tuple(names[: row_bytes * spread]), address)


def route(
    group: GroupShape,
    chip: ChipSpec = GROQCHIP1,
    dtype: DataType = DataType.FP32,
    rows: int = 2,
    blocks: int = 1,
    spreads: tuple[int, int] = (1, 1),
) -> GatherWindow:
    width = dtype.streams
    source = place_value(chip, "W", width, spreads[0], 3)
    destination = place_value(chip, "E", width, spreads[1], 12)
    return route_gather(group, rows, blocks, source, destination, width, chip)


def draw_rows(chips: int, rows: int, dtype: DataType, lanes: int) -> Array:
    """Random bits, [chips, rows, lanes]."""
    drawn = np.random.Generator(np.random.Philox(5)).integers(0, 256, (chips, rows, lanes * dtype.streams), np.uint8)
    return drawn.view(np.uint32 if dtype is DataType.FP32 else dtype.numpy)


def run_queues(
    topology: Topology, queues: Mapping[int, TimedQueues], regions: list[Region], inputs: Mapping[str, Array]
) -> Run:
    filled = tuple(fill_queues(queues.get(chip, {})) for chip in range(topology.chips))
    program = Program("window", filled, tuple(regions), links=list_links(topology))
    run = run_program(program, inputs, topology.spec, link_seed=2)
    assert check_program(program, topology.spec).cycles == run.cycles
    return run


def make_region(name: str, dtype: DataType, rows: int, place: ValuePlace, chip: int, lanes: int) -> Region:
    kind = "input" if name.startswith("x") else "output"
    return Region(name, kind, dtype, rows, lanes, place.slices, place.address, chip=chip)


def run_and_compare(window: GatherWindow, dtype: DataType) -> None:
    group, shape, chip = window.group, window.shape, window.chip
    rows = draw_rows(group.chips, shape.chip_rows, dtype, chip.lanes)
    regions = []
    for place, number in enumerate(group.members):
        regions.append(make_region(f"x{place}", dtype, shape.chip_rows, window.source, number, chip.lanes))
        whole_rows = group.chips * shape.chip_rows
        regions.append(make_region(f"y{place}", dtype, whole_rows, window.destination, number, chip.lanes))
    inputs = {f"x{place}": rows[place].view(dtype.numpy) for place in range(group.chips)}
    queues = {number: window.queues(place) for place, number in enumerate(group.members)} | window.relays
    run = run_queues(group.topology(chip), queues, regions, inputs)
    by_block = rows.reshape(group.chips, shape.blocks, shape.rows, chip.lanes)
    expected = by_block.transpose(1, 0, 2, 3).reshape(-1, chip.lanes)
    for place in range(group.chips):
        np.testing.assert_array_equal(run.outputs[f"y{place}"].view(rows.dtype), expected)
    assert run.cycles == count_prologue_cycles(chip) + window.cycles - 1 + chip.tiles


@pytest.mark.parametrize("chips", [1, 2, 4, 8])
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(
    ("dtype", "spreads"), [(DataType.INT8, (1, 1)), (DataType.INT8, (2, 1)), (DataType.FP32, (1, 2))]
)
def test_all_chips_of_a_node_end_with_all_rows_in_the_cycles_of_the_window(
    chips: int, blocks: int, dtype: DataType, spreads: tuple[int, int]
) -> None:
    window = route(GroupShape(chips), SMALL_CHIP, dtype, 2, blocks, spreads)
    verify_window(window)
    run_and_compare(window, dtype)


@pytest.mark.parametrize("chips", [2, 4, 8])
def test_a_window_holds_on_the_chip_of_full_size(chips: int) -> None:
    window = route(GroupShape(chips), GROQCHIP1, DataType.FP32, 3, 3, (2, 2))
    verify_window(window)
    run_and_compare(window, DataType.FP32)


def test_a_group_in_the_middle_of_a_node_uses_its_own_links() -> None:
    window = route(GroupShape(3, 4, 8), SMALL_CHIP)
    run_and_compare(window, DataType.FP32)


@pytest.mark.parametrize(
    ("group", "relays"),
    [(GroupShape(13), []), (GroupShape(13, spare_chips=3), [13, 14, 15]), (GroupShape(9, 5, 24), [])],
)
def test_rows_come_to_the_chips_of_other_nodes(group: GroupShape, relays: list[int]) -> None:
    window = route(group, rows=1)
    assert sorted(window.relays) == relays
    verify_window(window)
    run_and_compare(window, DataType.FP32)


def test_vectors_are_handed_on_in_the_cycle_of_their_arrival_where_links_are_free() -> None:
    """Chip 5 of 13 has no cable to the other node's members: a chip with one sends what its Receive drives."""
    streams = [action for queue, action in list_actions(route(GroupShape(13), rows=1)) if isinstance(action, Send)]
    inward = [send for send in streams if send.stream.direction == ("E" if send.stream.index < 8 else "W")]
    assert inward


def list_actions(window: GatherWindow) -> list[tuple[str, Instruction]]:
    return [
        (queue, instruction)
        for place in range(window.group.chips)
        for queue, timed in window.queues(place).items()
        for instruction in timed.values()
    ]


def test_chips_out_of_the_group_hand_on_only_where_no_cable_joins_its_own() -> None:
    """Node 0's cables to node 1 of nine lead from chips 0 to 3 to 12 to 15, none of which is among chips 0 to 11."""
    apart, joined = route(GroupShape(12, 0, 72), rows=1), route(GroupShape(13, 0, 72), rows=1)
    assert sorted(apart.relays) == [12, 13, 14, 15]
    assert not joined.relays
    for window in (apart, joined):
        verify_window(window)


@pytest.mark.parametrize("group", [GroupShape(72), GroupShape(72, 216, 10_440), GroupShape(20, 230, 10_440)])
def test_a_rack_gathers_wherever_it_is(group: GroupShape) -> None:
    verify_window(route(group, rows=1, dtype=DataType.INT8))


def test_groups_that_are_cabled_alike_share_a_schedule() -> None:
    first, third = route(GroupShape(13, 0, 72)), route(GroupShape(13, 16, 72))
    assert first.cycles == third.cycles
    assert [first.queues(place) for place in range(13)] == [third.queues(place) for place in range(13)]
    assert route(GroupShape(4, 4, 8)).queues(2) == route(GroupShape(4)).queues(2)


def test_a_window_may_follow_another_at_once() -> None:
    window = route(GroupShape(4), SMALL_CHIP, DataType.INT8, 2)
    queues: dict[int, TimedQueues] = {}
    for place in range(4):
        twice: defaultdict[str, dict[int, Instruction]] = defaultdict(dict)
        for queue, timed in window.queues(place).items():
            twice[queue] = timed | {cycle + window.cycles: instruction for cycle, instruction in timed.items()}
        queues[place] = twice
    rows = draw_rows(4, 2, DataType.INT8, SMALL_CHIP.lanes)
    regions = [
        make_region(f"{name}{chip}", DataType.INT8, count, place, chip, SMALL_CHIP.lanes)
        for chip in range(4)
        for name, count, place in (("x", 2, window.source), ("y", 8, window.destination))
    ]
    run = run_queues(window.group.topology(SMALL_CHIP), queues, regions, {f"x{chip}": rows[chip] for chip in range(4)})
    np.testing.assert_array_equal(run.outputs["y3"], rows.reshape(8, -1))
    assert run.cycles == count_prologue_cycles(SMALL_CHIP) + 2 * window.cycles - 1 + SMALL_CHIP.tiles


def test_one_read_serves_all_links_of_a_side() -> None:
    window = route(GroupShape(8), rows=3, dtype=DataType.INT8)
    kinds = [type(instruction) for _, instruction in list_actions(window)]
    # Each of 8 chips reads its three rows once for the links and once for its own copy.
    assert [kinds.count(kind) for kind in (Read, Send, Receive, Write)] == [48, 168, 168, 192]


def change_action(
    window: GatherWindow, wanted: type[Instruction], change: Callable[[int, Action], tuple[int, Action]]
) -> GatherWindow:
    """The same window with another cycle or instruction for the first action of a kind on chip 0."""
    actions = {
        chip: defaultdict(dict, {q: dict(t) for q, t in queues.items()}) for chip, queues in window._actions.items()
    }
    for timed in actions[0].values():
        for cycle, action in timed.items():
            if isinstance(action.instruction, wanted):
                del timed[cycle]
                moved_cycle, changed = change(cycle, action)
                timed[moved_cycle] = changed
                return replace(window, _actions=actions)
    raise AssertionError("no such action")


def readdress(action: Action) -> Action:
    assert isinstance(action.instruction, Read | Write)
    return action._replace(instruction=replace(action.instruction, address=40))


@pytest.mark.parametrize(
    ("wanted", "change", "message"),
    [
        (Send, lambda cycle, action: (cycle + 1, action), "nothing is on"),
        (Receive, lambda cycle, action: (cycle - 1, action), "no vector is there for certain"),
        (Write, lambda cycle, action: (cycle, readdress(action)), "has not row"),
        (Read, lambda cycle, action: (cycle, readdress(action)), "nothing has been written"),
    ],
)
def test_the_check_refuses_a_window_with_an_action_out_of_place(
    wanted: type[Instruction], change: Callable[[int, Action], tuple[int, Action]], message: str
) -> None:
    with pytest.raises(WindowError, match=message):
        verify_window(change_action(route(GroupShape(2), rows=1), wanted, change))


def test_the_check_refuses_a_window_that_is_too_short() -> None:
    window = route(GroupShape(2))
    with pytest.raises(WindowError, match="dispatches in cycle"):
        verify_window(replace(window, cycles=window.cycles - 1))


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (GroupShape(0), "1 to 72 chips"),
        (GroupShape(73), "1 to 72 chips"),
        (GroupShape(4, 6, 8), "not in a system of 8"),
        (GroupShape(16, 64, 288), "in two racks"),
    ],
)
def test_it_refuses_a_group_that_is_in_no_rack(group: GroupShape, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        route(group)


def test_it_refuses_slices_that_rows_do_not_fill() -> None:
    with pytest.raises(CompileError, match="3 slices are no place for rows of 2 bytes"):
        route_gather(GroupShape(2), 1, 1, ValuePlace(("MEM_W0", "MEM_W1", "MEM_W2"), 0), ValuePlace(("MEM_W0",), 0), 2)


@pytest.mark.parametrize(
    ("group_from", "group_to"),
    [
        (GroupShape(1, 0, 8), GroupShape(1, 1, 8)),
        (GroupShape(4, 0, 8), GroupShape(4, 4, 8)),
        (GroupShape(8, 0, 24), GroupShape(8, 8, 24)),
        (GroupShape(6, 0, 24), GroupShape(6, 6, 24)),
        (GroupShape(13, 0, 72), GroupShape(13, 13, 72)),
    ],
)
def test_a_handoff_brings_all_rows_to_the_next_group(group_from: GroupShape, group_to: GroupShape) -> None:
    source, destination = (place_value(SMALL_CHIP, side, 1, 1, address) for side, address in (("W", 3), ("E", 12)))
    window = plan_handoff(group_from, group_to, 2, 1, source, destination, SMALL_CHIP)
    rows = draw_rows(group_from.chips, 2, DataType.INT8, SMALL_CHIP.lanes)
    sources = [make_region(f"x{chip}", DataType.INT8, 2, source, chip, SMALL_CHIP.lanes) for chip in group_from.members]
    count = 2 * group_from.chips
    ends = [
        make_region(f"y{chip}", DataType.INT8, count, destination, chip, SMALL_CHIP.lanes) for chip in group_to.members
    ]
    queues = {chip: window.queues(chip) for chip in window.chips}
    inputs = {region.name: rows[place] for place, region in enumerate(sources)}
    run = run_queues(group_to.topology(SMALL_CHIP), queues, [*sources, *ends], inputs)
    for end in ends:
        np.testing.assert_array_equal(run.outputs[end.name], rows.reshape(count, -1))
    assert run.cycles == count_prologue_cycles(SMALL_CHIP) + window.cycles - 1 + SMALL_CHIP.tiles


def test_a_handoff_to_the_next_rack_takes_longer_than_one_in_a_node() -> None:
    places = place_value(GROQCHIP1, "W", 4, 1, 0), place_value(GROQCHIP1, "E", 4, 1, 0)
    near = route_handoff(GroupShape(4, 0, 288), GroupShape(4, 4, 288), 1, 4, *places)
    far = route_handoff(GroupShape(4, 68, 288), GroupShape(4, 72, 288), 1, 4, *places)
    assert far > near


def test_a_group_hands_nothing_to_itself() -> None:
    place = place_value(GROQCHIP1, "W", 1, 1, 0)
    with pytest.raises(CompileError, match="chips in common"):
        route_handoff(GroupShape(4), GroupShape(4, 3), 1, 1, place, place)
