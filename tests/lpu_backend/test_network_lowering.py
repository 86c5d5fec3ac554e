"""Schedules as instructions: the machine moves the same bits, in the cycles that the schedule says."""

import numpy as np
import pytest

from lpu_backend.checker import check_program
from lpu_backend.chip import GROQCHIP1
from lpu_backend.isa.instructions import Instruction, Nop, Read, Receive, Repeat, Send, Sync
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.isa.program import Region
from lpu_backend.machine import Dispatch, run_program
from lpu_backend.network.carry import carry
from lpu_backend.network.collectives import Algorithm, all_gather, all_reduce, broadcast
from lpu_backend.network.lowering import LoweringError, Place, lower_schedule
from lpu_backend.network.plan import Collective
from lpu_backend.network.prologue import count_prologue_cycles, fill_queues
from lpu_backend.network.schedule import schedule_demands
from lpu_backend.network.timing import HopMode, time_chip, time_hops
from lpu_backend.network.topology import build_topology
from lpu_backend.network.transfers import Demand, Departure, Schedule
from tests.lpu_backend.network_programs import (
    add_sums,
    build_program,
    list_regions,
    lower_collective,
    make_tensors,
)

TIMING = time_chip()
START_CYCLE = count_prologue_cycles()


def run_and_compare(collective: Collective) -> None:
    lowered = lower_collective(collective)
    program = build_program(collective.topology, lowered.queues, list_regions(collective))
    tensors, sends = make_tensors(collective), []
    inputs = {name: tensors[int(name[1:])] for region in program.regions if (name := region.name)[0] == "x"}
    run = run_program(program, inputs, observer=lambda dispatch: sends.append(list_send(dispatch)), link_seed=3)
    expected = carry(collective, tensors)
    for chip, held in enumerate(expected):
        for value, elements in held.items():
            if value.index != chip:
                np.testing.assert_array_equal(run.outputs[f"y{chip}_{value.index}"][value.row], elements)
    # Send is dispatched a cycle before it samples.
    begin = START_CYCLE + lowered.origin_cycle - GROQCHIP1.timing("Send").skew
    assert sorted(filter(None, sends)) == [
        (begin + cycle, chip, f"C2C{link}") for cycle, chip, link, _ in collective.schedule.departures
    ]
    last_cycle = START_CYCLE + max(lowered.written_cycles.values())
    assert check_program(program).cycles == run.cycles == last_cycle + GROQCHIP1.tiles


def list_send(dispatch: Dispatch) -> tuple[int, int, str] | None:
    if isinstance(dispatch.instruction, Send):
        return dispatch.cycle, dispatch.chip, dispatch.queue.name
    return None


@pytest.mark.parametrize("chips", [2, 4, 8])
def test_an_all_gather_runs_in_the_cycles_of_its_schedule(chips: int) -> None:
    run_and_compare(all_gather(build_topology(chips), 3, TIMING, vectors_per_row=2))


def test_a_broadcast_is_handed_on_by_the_chips_that_receive_it() -> None:
    collective = broadcast(build_topology(4), 1, 6, TIMING, algorithm=Algorithm.STAGED)
    assert any(chip != 1 for _, chip, _, _ in collective.schedule.departures)
    run_and_compare(collective)


@pytest.mark.parametrize("chips", [2, 4, 8])
def test_an_all_reduce_adds_on_every_chip_to_the_bits_that_the_schedule_carries(chips: int) -> None:
    topology = build_topology(chips)
    collective = all_reduce(topology, 1, TIMING, 4, Algorithm.DIRECT)
    lowered = lower_collective(collective)
    last_cycle, sums = add_sums(collective, lowered)
    exchanged = all_gather(topology, 1, TIMING, 4)
    inputs = [region for region in list_regions(exchanged) if region.kind == "input"]
    program = build_program(topology, lowered.queues, [*inputs, *sums])
    tensors = make_tensors(collective)
    run = run_program(program, {f"x{chip}": tensors[chip] for chip in range(chips)})
    for chip, held in enumerate(carry(collective, tensors)):
        (total,) = held.values()
        np.testing.assert_array_equal(run.outputs[f"sum{chip}"][0].view("u4"), total.view("u4"))
    assert run.cycles == check_program(program).cycles == START_CYCLE + last_cycle + GROQCHIP1.tiles


def test_a_vector_for_another_node_is_forwarded_across_the_chip_from_side_to_side() -> None:
    """Local links but one end at SXM_W, three of the four global ones at SXM_E."""
    topology = build_topology(24)
    demands = [Demand(1, (chip,), 2) for chip in (0, 10, 23)] + [Demand(20, (0, 9, 21), 2)]
    schedule = schedule_demands(topology, demands, TIMING)
    assert any(TIMING.is_west(departure.link) is False for departure in schedule.departures)
    sources = [Place(f"MEM_W{3 + name}", 0) for name in range(len(schedule.transfers))]
    destinations = {
        (name, chip): Place(f"MEM_E{3 + name}", 0)
        for name, transfer in enumerate(schedule.transfers)
        for chip in transfer.destinations
    }
    lowered = lower_schedule(topology, schedule, sources, destinations)
    regions, inputs = [], {}
    for name, transfer in enumerate(schedule.transfers):
        place = sources[name]
        regions.append(
            Region(f"x{name}", "input", DataType.UINT8, 1, 320, (place.slice_name,), 0, chip=transfer.source)
        )
        inputs[f"x{name}"] = np.full((1, 320), 17 * name + 1, np.uint8)
    for name, chip in destinations:
        slices = (destinations[name, chip].slice_name,)
        regions.append(Region(f"y{name}_{chip}", "output", DataType.UINT8, 1, 320, slices, 0, chip=chip))
    program = build_program(topology, lowered.queues, regions)
    run = run_program(program, inputs, link_seed=11)
    for name, chip in destinations:
        np.testing.assert_array_equal(run.outputs[f"y{name}_{chip}"], inputs[f"x{name}"])
    assert run.cycles == START_CYCLE + max(lowered.written_cycles.values()) + GROQCHIP1.tiles


def test_a_schedule_of_published_hops_is_not_what_the_instructions_take() -> None:
    topology = build_topology(16)
    schedule = schedule_demands(topology, [Demand(0, (9,), 1)], time_hops(HopMode.FORWARDED))
    assert len(schedule.departures) == 2
    with pytest.raises(LoweringError, match="does not wait"):
        lower_schedule(topology, schedule, [Place("MEM_W0", 0)], {(0, 9): Place("MEM_W0", 0)})


def test_two_vectors_of_one_slice_cannot_be_read_in_one_cycle() -> None:
    schedule = schedule_demands(build_topology(3), [Demand(0, (1,), 1), Demand(0, (2,), 1)], TIMING)
    places = [Place("MEM_W0", 0), Place("MEM_W0", 1)]
    with pytest.raises(LoweringError, match="chip 0 MEM_W0 has both"):
        lower_schedule(build_topology(3), schedule, places, {(0, 1): places[0], (1, 2): places[1]})


def test_receives_for_one_slice_are_put_off_until_it_is_free() -> None:
    topology = build_topology(3)
    schedule = schedule_demands(topology, [Demand(1, (0,), 1), Demand(2, (0,), 1)], TIMING)
    here = [Place("MEM_W0", 0), Place("MEM_W0", 1)]
    lowered = lower_schedule(topology, schedule, here, {(name, 0): here[name] for name in range(2)})
    first, second = (lowered.written_cycles[name, 0] for name in range(2))
    assert second == first + 1


def test_a_departure_over_no_cable_is_refused() -> None:
    topology = build_topology(2)
    schedule = Schedule(schedule_demands(topology, [Demand(0, (1,), 1)], TIMING).transfers, (Departure(0, 0, 3, 0),))
    with pytest.raises(LoweringError, match="leads nowhere"):
        lower_schedule(topology, schedule, [Place("MEM_W0", 0)], {(0, 1): Place("MEM_W0", 0)})


def test_evenly_spaced_instructions_become_a_repeat_and_others_do_not() -> None:
    read = {cycle: Read(2 * place, Stream("W", 1)) for place, cycle in enumerate((5, 32, 59, 86))}
    send: dict[int, Instruction] = {4: Send(Stream("W", 1)), 31: Receive(Stream("E", 1)), 60: Send(Stream("W", 1))}
    queues = fill_queues({"MEM_W3": {**read, 100: Read(0, Stream("W", 1))}, "C2C1": send, "C2C2": {}})
    assert queues["MEM_W3"] == (
        Sync(), Nop(5), Read(0, Stream("W", 1), step=2), Repeat(3, 27), Nop(13), Read(0, Stream("W", 1))
    )  # fmt: skip
    assert queues["C2C1"] == (
        Sync(), Nop(4), send[4], Nop(26), send[31], Nop(28), send[60]
    )  # fmt: skip
    assert "C2C2" not in queues
