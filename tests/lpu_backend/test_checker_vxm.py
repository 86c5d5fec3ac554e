"""Result registers of the VXM."""

import pytest

from lpu_backend.checker import list_hazards
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Binary, Convert, Unary
from lpu_backend.isa.operands import AluResult, DataType, Immediate
from tests.lpu_backend.checker_programs import SMALL, Found, Queues, at, east, find, program

ONE = Immediate(1)
INT32, FP32 = DataType.INT32, DataType.FP32
MAKE = Unary("Copy", INT32, ONE, None)


def use(alu: int, dtype: DataType = INT32) -> Unary:
    return Unary("Copy", dtype, AluResult(alu), None)


def check(queues: Queues) -> Found:
    return find(program(queues))


def test_a_result_is_there_from_its_functional_delay_on() -> None:
    assert check({"VXM0": [MAKE], "VXM1": at({3: use(0)})}) == []
    assert check({"VXM0": [MAKE], "VXM1": at({2: use(0)})}) == [(HazardKind.ALU_RESULT, 3, "VXM1")]


def test_the_detail_says_when_the_first_result_enters() -> None:
    queues = {"VXM4": at({0: MAKE, 8: use(5), 20: MAKE}), "VXM5": at({9: use(4), 11: MAKE})}
    details = [hazard.detail for hazard in list_hazards(program(queues), SMALL)]
    assert details == ["ALU5 has no result yet: its first enters in cycle 13"]
    assert [h.detail for h in list_hazards(program({"VXM5": [use(4)]}), SMALL)] == ["ALU4 has no result yet"]


def test_a_transcendental_takes_longer() -> None:
    make = Unary("Exp", FP32, ONE, None)
    assert check({"VXM0": [make], "VXM1": at({15: use(0, FP32)})}) == []
    assert check({"VXM0": [make], "VXM1": at({14: use(0, FP32)})}) == [(HazardKind.ALU_RESULT, 15, "VXM1")]


def test_a_result_stays_and_its_own_alu_reads_it() -> None:
    assert check({"VXM0": at({0: MAKE, 500: use(0), 501: use(0)})}) == []


def test_an_alu_that_has_made_nothing_has_no_result() -> None:
    assert check({"VXM0": [MAKE], "VXM1": at({9: use(5)})}) == [(HazardKind.ALU_RESULT, 10, "VXM1")]


@pytest.mark.parametrize(("alu", "found"), [(1, []), (4, []), (5, [(HazardKind.BAD_INSTRUCTION, 9, "VXM0")])])
def test_an_alu_reads_its_mesh_neighbours_alone(alu: int, found: Found) -> None:
    assert check({f"VXM{alu}": [MAKE], "VXM0": at({9: use(alu)})}) == found


def test_a_result_is_read_as_the_type_it_was_made_with() -> None:
    assert check({"VXM0": [MAKE], "VXM1": at({9: use(0, FP32)})}) == [(HazardKind.BAD_INSTRUCTION, 10, "VXM1")]
    converted = at({0: MAKE, 9: Convert(INT32, FP32, AluResult(0), None)})
    assert check({"VXM0": converted, "VXM1": at({12: use(0, FP32)})}) == []
    assert check({"VXM0": converted, "VXM1": at({11: use(0, INT32)})}) == []
    assert check({"VXM0": converted, "VXM1": at({12: use(0, INT32)})}) == [(HazardKind.BAD_INSTRUCTION, 13, "VXM1")]


def test_both_operands_of_a_binary_are_checked() -> None:
    add = Binary("Add", INT32, AluResult(0), AluResult(5), None)
    assert check({"VXM0": [MAKE], "VXM5": [MAKE], "VXM1": at({3: add})}) == []
    assert check({"VXM0": [MAKE], "VXM1": at({3: add})}) == [(HazardKind.ALU_RESULT, 4, "VXM1")]


def test_two_results_do_not_enter_one_register_in_one_cycle() -> None:
    exp = Unary("Exp", FP32, ONE, None)
    assert check({"VXM0": at({0: exp, 11: MAKE, 13: MAKE})}) == []
    assert check({"VXM0": at({0: exp, 12: MAKE, 20: MAKE}), "VXM2": [MAKE]}) == [(HazardKind.ALU_RESULT, 16, "VXM0")]


def test_a_result_that_enters_later_replaces_one_that_was_dispatched_later() -> None:
    queue = at({0: Unary("Exp", FP32, ONE, None), 11: MAKE})
    assert check({"VXM0": queue, "VXM1": at({14: use(0)})}) == []
    assert check({"VXM0": queue, "VXM1": at({15: use(0, FP32)})}) == []


def test_each_chip_has_its_own_registers() -> None:
    assert find(program({"VXM0": [MAKE]}, {"VXM0": at({9: use(0)})})) == [(HazardKind.ALU_RESULT, 10, "VXM0")]


def test_a_result_without_destination_drives_no_stream() -> None:
    copy = {"VXM5": at({3: Unary("Copy", INT32, east(0), None)})}
    assert check({"VXM0": [Unary("Copy", INT32, ONE, east(0))], **copy}) == []
    assert {kind for kind, _, _ in check({"VXM0": [MAKE], **copy})} == {HazardKind.OPERAND_MISSING}
