"""When instructions go: queues, barriers, and the cycle count."""

from dataclasses import replace

import pytest

from lpu_backend.checker import check_program
from lpu_backend.hazards import HazardError, HazardKind
from lpu_backend.isa.instructions import (
    Config,
    Deskew,
    Nop,
    Notify,
    Read,
    Repeat,
    RuntimeDeskew,
    Send,
    Shift,
    Sync,
    Unary,
    Write,
)
from lpu_backend.isa.operands import DataType, Immediate
from tests.lpu_backend.checker_programs import SMALL, Instructions, Queues, at, east, find, program, region

READ = Read(0, east(0))
INPUTS = [region("MEM_W0", rows=8), region("MEM_W1", rows=8)]


def dispatch_cycles(queues: Queues, queue: str) -> list[int]:
    schedule = check_program(program(queues, regions=INPUTS), SMALL)
    return [dispatch.cycle for dispatch in schedule.dispatches() if dispatch.queue.name == queue]


def test_a_queue_dispatches_one_instruction_a_cycle_and_waits_out_a_nop() -> None:
    assert dispatch_cycles({"MEM_W0": [READ, READ, Nop(3), READ, Nop(1), READ]}, "MEM_W0") == [0, 1, 5, 7]


def test_a_repeat_takes_no_cycle_and_steps_its_instruction() -> None:
    queue: Instructions = [Read(1, east(0), step=2), Repeat(3, 2), READ]
    schedule = check_program(program({"MEM_W0": queue}, regions=INPUTS), SMALL)
    assert [(d.cycle, d.instruction.address) for d in schedule.dispatches()] == [(0, 1), (2, 3), (4, 5), (6, 7), (7, 0)]
    assert schedule.dispatched == 5


@pytest.mark.parametrize(
    "queue",
    [
        [Repeat(1, 1), READ],
        [Nop(2), Repeat(1, 1)],
        [READ, Repeat(1, 1), Repeat(1, 1)],
        [READ, Repeat(0, 1)],
        [READ, Repeat(1, 0)],
    ],
    ids=["first", "after a NOP", "after a Repeat", "no times", "no distance"],
)
def test_a_repeat_of_what_cannot_be_repeated_is_a_bad_instruction(queue: Instructions) -> None:
    assert [kind for kind, _, _ in find(program({"MEM_W0": queue}, regions=INPUTS))] == [HazardKind.BAD_INSTRUCTION]


def test_an_instruction_of_another_unit_is_a_bad_instruction_in_its_cycle() -> None:
    queues = {"MEM_W0": [READ, Shift(east(0), 1, east(1)), READ]}
    assert find(program(queues, regions=INPUTS)) == [(HazardKind.BAD_INSTRUCTION, 1, "MEM_W0")]


def test_a_notify_releases_every_parked_queue_after_the_barrier() -> None:
    queues = {"MEM_W0": [Sync(), READ], "MEM_W1": [Nop(2), Sync(), Read(0, east(1))], "MEM_E0": [Nop(5), Notify()]}
    assert dispatch_cycles(queues, "MEM_W0") == [0, 5 + SMALL.barrier_cycles]
    assert dispatch_cycles(queues, "MEM_W1") == [2, 5 + SMALL.barrier_cycles]


def test_a_sync_takes_the_first_release_that_comes_after_it() -> None:
    barrier = SMALL.barrier_cycles
    queues = {"MEM_E0": [Notify(), Nop(9), Notify()], "MEM_W0": [Nop(barrier - 1), Sync(), READ]}
    assert dispatch_cycles(queues, "MEM_W0") == [barrier - 1, barrier]
    queues["MEM_W0"] = [Nop(barrier), Sync(), READ]
    assert dispatch_cycles(queues, "MEM_W0") == [barrier, barrier + 10]


def test_a_queue_that_notifies_can_release_its_own_sync() -> None:
    assert dispatch_cycles({"MEM_W0": [Notify(), Sync(), READ]}, "MEM_W0") == [0, 1, SMALL.barrier_cycles]


def test_a_sync_that_no_release_follows_is_a_deadlock() -> None:
    late = {"MEM_W0": [Nop(SMALL.barrier_cycles), Sync()], "MEM_W1": [Notify()]}
    assert find(program(late)) == [(HazardKind.DEADLOCK, SMALL.barrier_cycles, "MEM_W0")]
    in_time = {"MEM_W0": [Nop(SMALL.barrier_cycles - 1), Sync()], "MEM_W1": [Notify()]}
    assert find(program(in_time)) == []


def test_two_queues_that_wait_for_each_other_are_deadlocked() -> None:
    queues = {"MEM_W0": [Sync(), Notify()], "MEM_W1": [Sync(), Notify()]}
    assert [kind for kind, _, _ in find(program(queues))] == [HazardKind.DEADLOCK] * 2


def test_one_chips_notify_does_not_release_another_chip() -> None:
    assert find(program({"MEM_W0": [Notify()]}, {"MEM_W0": [Sync()]})) == [(HazardKind.DEADLOCK, 0, "MEM_W0")]


@pytest.mark.parametrize(("start", "epoch"), [(0, 252), (251, 252), (252, 504)])
def test_a_deskew_waits_for_the_next_epoch(start: int, epoch: int) -> None:
    assert dispatch_cycles({"C2C0": at({start: [Deskew(), Notify()]})}, "C2C0") == [start, epoch]


def test_a_runtime_deskew_takes_its_cycles() -> None:
    assert dispatch_cycles({"C2C0": [RuntimeDeskew(7), Notify()]}, "C2C0") == [0, 7]


def test_a_queue_holds_what_it_has_room_for() -> None:
    chip = replace(SMALL, queue_instructions=4)
    full = program({"MEM_W0": [READ] * 4}, regions=INPUTS)
    assert find(full, chip) == []
    over = program({"MEM_W0": [READ] * 5}, regions=INPUTS)
    assert find(over, chip) == [(HazardKind.QUEUE_OVERFLOW, 0, "MEM_W0")]


def test_a_read_and_its_write_take_tiles_and_functional_delay_and_distance() -> None:
    queues = {"MEM_W0": [READ], "MEM_E0": at({7: Write(0, east(0))})}
    schedule = check_program(program(queues, regions=INPUTS), SMALL)
    assert schedule.cycles == SMALL.tiles + 5 + 2
    assert schedule.dispatched == 2


@pytest.mark.parametrize(
    ("queues", "last"),
    [
        ({"MEM_W0": [Config(1)]}, 0),
        ({"MEM_W0": [READ]}, 5),
        ({"MEM_W0": [READ, Repeat(3, 4)]}, 17),
        ({"MEM_W0": [READ, Nop(90)]}, 5),
        ({"MEM_W0": [READ], "SXM_E_SHIFT0": at({10: Shift(east(0), 1, east(1))})}, 33),
        ({"MEM_W0": [READ], "SXM_E_SHIFT0": at({20: Notify()})}, 20),
        ({"VXM0": [Unary("Copy", DataType.INT8, Immediate(0), None)]}, 1),
        ({"VXM0": [Unary("Copy", DataType.INT8, Immediate(0), east(0))]}, 4),
    ],
    ids=[
        "dispatch",
        "drive",
        "repeated drive",
        "a NOP does not count",
        "drive of a shift",
        "late dispatch",
        "an operand",
        "result",
    ],
)
def test_a_program_is_done_when_its_last_event_has_reached_all_tiles(queues: Queues, last: int) -> None:
    assert check_program(program(queues, regions=INPUTS), SMALL).cycles == last + SMALL.tiles


def test_a_program_that_dispatches_nothing_takes_no_cycle() -> None:
    schedule = check_program(program({"MEM_W0": [Nop(100)]}), SMALL)
    assert (schedule.cycles, schedule.dispatched, list(schedule.dispatches())) == (0, 0, [])


def test_the_cycles_of_several_chips_are_those_of_the_last() -> None:
    assert check_program(program({"MEM_W0": [Config(1)]}, {"MEM_W0": at({9: Config(1)})}), SMALL).cycles == 9 + 2


def test_dispatches_come_in_the_order_of_cycle_chip_and_queue() -> None:
    one = {"MEM_E0": [Config(1), Config(2)], "MEM_W0": [Config(1)]}
    other = {"MEM_W1": [Config(2)]}
    dispatches = check_program(program(one, other), SMALL).dispatches()
    order = [(d.cycle, d.chip, d.queue.name) for d in dispatches]
    assert order == [(0, 0, "MEM_W0"), (0, 0, "MEM_E0"), (0, 1, "MEM_W1"), (1, 0, "MEM_E0")]


def test_a_check_raises_the_first_hazard_of_all_units() -> None:
    queues = {"MEM_W0": [READ], "MEM_W1": at({3: Read(9000, east(1))}), "C2C15": at({1: Send(east(0))})}
    with pytest.raises(HazardError) as refusal:
        check_program(program(queues), SMALL)
    assert refusal.value.hazard.kind is HazardKind.UNWRITTEN
    kinds = [kind for kind, _, _ in find(program(queues))]
    assert kinds == [HazardKind.UNWRITTEN, HazardKind.OPERAND_MISSING, HazardKind.LINK, HazardKind.ADDRESS]
