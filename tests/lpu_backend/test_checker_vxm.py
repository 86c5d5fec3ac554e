"""Result registers of the VXM."""

from collections.abc import Mapping, Sequence

import pytest

from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Binary, Convert, Instruction, Unary
from lpu_backend.isa.operands import AluResult, DataType, Immediate
from tests.lpu_backend.checker_programs import Found, at, east, find, program

ONE = Immediate(1)
INT32, FP32 = DataType.INT32, DataType.FP32
MAKE = Unary("Copy", INT32, ONE, None)


def use(alu: int, dtype: DataType = INT32) -> Unary:
    return Unary("Copy", dtype, AluResult(alu), None)


def check(queues: Mapping[str, Sequence[Instruction]]) -> Found:
    return find(program(queues))


def test_a_result_is_there_from_its_functional_delay_on():
    assert check({"VXM0": [MAKE], "VXM1": at({3: use(0)})}) == []
    assert check({"VXM0": [MAKE], "VXM1": at({2: use(0)})}) == [(HazardKind.ALU_RESULT, 3, "VXM1")]


def test_a_transcendental_takes_longer():
    make = Unary("Exp", FP32, ONE, None)
    assert check({"VXM0": [make], "VXM1": at({15: use(0, FP32)})}) == []
    assert check({"VXM0": [make], "VXM1": at({14: use(0, FP32)})}) == [(HazardKind.ALU_RESULT, 15, "VXM1")]


def test_a_result_stays_and_its_own_alu_reads_it():
    assert check({"VXM0": at({0: MAKE, 500: use(0), 501: use(0)})}) == []


def test_an_alu_that_has_made_nothing_has_no_result():
    assert check({"VXM0": [MAKE], "VXM1": at({9: use(5)})}) == [(HazardKind.ALU_RESULT, 10, "VXM1")]


@pytest.mark.parametrize(("alu", "found"), [(1, []), (4, []), (5, [(HazardKind.BAD_INSTRUCTION, 9, "VXM0")])])
def test_an_alu_reads_its_mesh_neighbours_alone(alu, found):
    assert check({f"VXM{alu}": [MAKE], "VXM0": at({9: use(alu)})}) == found


def test_a_result_is_read_as_the_type_it_was_made_with():
    assert check({"VXM0": [MAKE], "VXM1": at({9: use(0, FP32)})}) == [(HazardKind.BAD_INSTRUCTION, 10, "VXM1")]
    converted = at({0: MAKE, 9: Convert(INT32, FP32, AluResult(0), None)})
    assert check({"VXM0": converted, "VXM1": at({12: use(0, FP32)})}) == []
    assert check({"VXM0": converted, "VXM1": at({11: use(0, INT32)})}) == []
    assert check({"VXM0": converted, "VXM1": at({12: use(0, INT32)})}) == [(HazardKind.BAD_INSTRUCTION, 13, "VXM1")]


def test_both_operands_of_a_binary_are_checked():
    add = Binary("Add", INT32, AluResult(0), AluResult(5), None)
    assert check({"VXM0": [MAKE], "VXM5": [MAKE], "VXM1": at({3: add})}) == []
    assert check({"VXM0": [MAKE], "VXM1": at({3: add})}) == [(HazardKind.ALU_RESULT, 4, "VXM1")]


def test_of_two_results_in_one_cycle_the_later_dispatched_stays():
    queue = at({0: Unary("Exp", FP32, ONE, None), 12: MAKE})
    assert check({"VXM0": queue, "VXM1": at({15: use(0, INT32)})}) == []
    assert check({"VXM0": queue, "VXM1": at({15: use(0, FP32)})}) == [(HazardKind.BAD_INSTRUCTION, 16, "VXM1")]


def test_each_chip_has_its_own_registers():
    assert find(program({"VXM0": [MAKE]}, {"VXM0": at({9: use(0)})})) == [(HazardKind.ALU_RESULT, 10, "VXM0")]


def test_a_result_without_destination_drives_no_stream():
    copy = {"VXM5": at({3: Unary("Copy", INT32, east(0), None)})}
    assert check({"VXM0": [Unary("Copy", INT32, ONE, east(0))], **copy}) == []
    assert {kind for kind, _, _ in check({"VXM0": [MAKE], **copy})} == {HazardKind.OPERAND_MISSING}
