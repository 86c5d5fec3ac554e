"""SRAM: banks, addresses, and what is written when."""

import pytest

from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Config, Gather, MemPair, Read, Repeat, Scatter, Write
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Region, Text
from tests.lpu_backend.checker_programs import SMALL, Found, Instructions, Queues, at, east, find, program, region

UPPER = SMALL.mem_addresses // 2
INPUTS = [region("MEM_W0", rows=8), region("MEM_W0", UPPER), region("MEM_W1", rows=8)]
DATA: Queues = {"MEM_W1": [Read(0, east(1)), Repeat(30, 1)]}
"""A vector on E1 at MEM_W0 in cycles 6 to 36."""
UNWRITTEN = HazardKind.UNWRITTEN


def check(queue: Instructions, others: Queues = DATA) -> Found:
    return find(program({"MEM_W0": queue, **others}, regions=INPUTS))


def test_a_pair_may_use_both_banks_but_not_one_twice() -> None:
    assert check(at({9: MemPair(Read(0, east(0)), Write(UPPER, east(1)))})) == []
    same = MemPair(Read(0, east(0)), Write(UPPER - 1, east(1)))
    assert check(at({9: same})) == [(HazardKind.BANK_CONFLICT, 9, "MEM_W0")]


def test_a_repeated_pair_conflicts_where_its_addresses_step_into_one_bank() -> None:
    pair = MemPair(Read(0, east(0), step=1), Write(UPPER + 2, east(1), step=-1))
    found = check(at({9: [pair, Repeat(4, 1)]}))
    assert found == [(HazardKind.BANK_CONFLICT, 12, "MEM_W0"), (HazardKind.BANK_CONFLICT, 13, "MEM_W0")]


def test_accesses_in_successive_cycles_do_not_conflict() -> None:
    assert check([Read(0, east(0)), Read(0, east(0))]) == []


@pytest.mark.parametrize(("address", "found"), [(SMALL.mem_addresses - 1, []), (SMALL.mem_addresses, [9]), (-1, [9])])
def test_an_address_lies_in_the_slice(address: int, found: list[int]) -> None:
    assert check(at({9: Write(address, east(1))})) == [(HazardKind.ADDRESS, cycle, "MEM_W0") for cycle in found]


def test_a_repeat_that_steps_out_of_the_slice_is_refused_where_it_does() -> None:
    found = check(at({9: [Write(SMALL.mem_addresses - 2, east(1), step=1), Repeat(2, 3)]}))
    assert found == [(HazardKind.ADDRESS, 15, "MEM_W0")]


@pytest.mark.parametrize(("kind", "found"), [("input", []), ("constant", []), ("output", [0])])
def test_inputs_and_constants_are_written_at_the_start_and_outputs_are_not(kind: str, found: list[int]) -> None:
    checked = program({"MEM_W0": [Read(3, east(0))]}, regions=[region("MEM_W0", 3, kind=kind, data=bytes(32))])
    assert find(checked) == [(UNWRITTEN, cycle, "MEM_W0") for cycle in found]


def test_a_region_fills_its_slices_and_no_address_more() -> None:
    striped = Region("x", "input", DataType.INT16, 3, SMALL.lanes, ("MEM_W0", "MEM_W1", "MEM_E0", "MEM_E1"), 16, step=2)
    for name, last in (("MEM_W0", 18), ("MEM_W1", 16), ("MEM_E0", 18), ("MEM_E1", 16)):
        assert find(program({name: [Read(16, east(0)), Read(last, east(0))]}, regions=[striped])) == []
        assert find(program({name: [Read(last + 2, east(0))]}, regions=[striped])) == [(UNWRITTEN, 0, name)]
        assert find(program({name: [Read(17, east(0))]}, regions=[striped])) == [(UNWRITTEN, 0, name)]


def test_a_region_is_on_its_own_chip() -> None:
    read = {"MEM_W0": [Read(0, east(0))]}
    assert [hazard[:2] for hazard in find(program(read, read, regions=[region("MEM_W0", chip=1)]))] == [(UNWRITTEN, 0)]


def test_a_text_is_written_at_the_start() -> None:
    text = Text("t", "MEM_W0", 5, (Read(0, east(0)),) * (SMALL.tiles + 1))
    assert find(program({"MEM_W0": [Read(5, east(0)), Read(6, east(0))]}, texts=[text])) == []
    assert find(program({"MEM_W0": [Read(7, east(0))]}, texts=[text])) == [(UNWRITTEN, 0, "MEM_W0")]


def test_a_write_is_seen_from_the_next_cycle_on() -> None:
    assert check(at({9: [Write(99, east(1)), Read(99, east(0))]})) == []
    assert check(at({8: [Read(99, east(0)), Write(99, east(1))]})) == [(UNWRITTEN, 8, "MEM_W0")]
    pair = MemPair(Write(99, east(1)), Read(99, east(0)))
    assert set(check(at({9: pair}))) == {(UNWRITTEN, 9, "MEM_W0"), (HazardKind.BANK_CONFLICT, 9, "MEM_W0")}


def test_a_write_of_one_slice_is_not_seen_in_another() -> None:
    found = check(at({9: Write(99, east(1))}), {**DATA, "MEM_E0": at({20: Read(99, east(0))})})
    assert found == [(UNWRITTEN, 20, "MEM_E0")]


def test_a_write_fills_the_powered_tiles_alone() -> None:
    write = Write(99, east(1))
    assert check(at({8: [Config(1), write, Read(99, east(0))]})) == []
    assert check(at({8: [Config(1), write, Config(2), Read(99, east(0))]})) == [(UNWRITTEN, 11, "MEM_W0")]
    assert check([Config(1), Read(8, east(0))]) == [(UNWRITTEN, 1, "MEM_W0")]
    assert check(at({8: [write, Config(1), write, Config(2), Read(99, east(0))]})) == []


def test_a_gather_takes_both_banks_and_may_read_anything() -> None:
    maps: Queues = {"MEM_W1": [Read(0, east(2)), Repeat(9, 1)], "MEM_W2": [Read(0, east(3)), Repeat(9, 1)]}
    regions = [region("MEM_W1"), region("MEM_W2")]
    queue = at({9: Gather(east(0), east(2))})
    assert find(program({"MEM_W0": queue, **maps}, regions=regions)) == []
    missing = find(program({"MEM_W0": queue, "MEM_W1": maps["MEM_W1"]}, regions=regions))
    assert missing == [(HazardKind.OPERAND_MISSING, 9, "MEM_W0")]


def test_after_a_scatter_every_address_of_its_slice_may_be_written() -> None:
    maps: Queues = {"MEM_W2": [Read(0, east(2)), Repeat(29, 1)], "MEM_W3": [Read(0, east(3)), Repeat(29, 1)], **DATA}
    regions = [region("MEM_W1"), region("MEM_W2"), region("MEM_W3")]
    scatter = Scatter(east(1), east(2))

    def found(queue: Instructions) -> Found:
        return find(program({"MEM_W0": queue, **maps}, regions=regions))

    assert found(at({10: [scatter, Read(77, east(0))]})) == []
    assert found(at({9: [Read(77, east(0)), scatter]})) == [(UNWRITTEN, 9, "MEM_W0")]
    assert found(at({9: [Config(1), scatter, Config(2), Read(77, east(0))]})) == [(UNWRITTEN, 12, "MEM_W0")]
    assert find(program({"MEM_E0": at({20: Read(77, east(0))}), **maps}, regions=regions)) == [
        (UNWRITTEN, 20, "MEM_E0")
    ]
