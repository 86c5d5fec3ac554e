"""What does not assemble, with the line that the error names."""

import re

import pytest

from lpu_backend.assembly import AssemblyError, assemble
from lpu_backend.chip import GROQCHIP1, plan_floor
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import DataType, Immediate, Stream
from lpu_backend.isa.placement import Placement
from lpu_backend.isa.program import Region
from lpu_backend.isa.validity import find_address_fault, find_fault

QUEUES = plan_floor(GROQCHIP1).queues
E0 = Stream("E", 0)


def refusal(text: str) -> AssemblyError:
    """The error that assembling a text raises."""
    with pytest.raises(AssemblyError) as caught:
        assemble(text)
    return caught.value


@pytest.mark.parametrize(
    ("queue", "instruction", "expected"),
    [
        # not an instruction at all
        ("MEM_W0", "Reed 0, E0", "expected an instruction, not `Reed`"),
        ("MEM_W0", "Read 0", r"expected `Read ADDRESS, STREAM \[step N\]`"),
        ("MEM_W0", "Read 0, E0, E1", "expected `Read"),
        ("MEM_W0", "Read 0, E0 step", "expected `Read"),
        ("MEM_W0", "Read 0, N0", "expected a stream such as E0 or W31, not `N0`"),
        ("MEM_W0", "Read 0, -", "expected a stream"),
        ("MEM_W0", "Read zero, E0", "expected an integer, not `zero`"),
        ("MEM_W0", "Read 0, E0 | Gather E0, E2", "expected two Reads or Writes"),
        ("MEM_W0", "Read 0, E0 | Read 1, E1 | Read 2, E2", "expected two Reads or Writes"),
        ("VXM0", "Add.fp64 E0, E0 -> -", "expected one of int8, uint8"),
        ("VXM0", "Add.int8 E0, #128 -> -", "`128` does not fit int8, which is -128 to 127"),
        ("VXM0", "Add.uint8 E0, #-1 -> -", "does not fit uint8"),
        ("VXM0", "Add.int8 E0, #1.5 -> -", "expected a number of type int8"),
        ("VXM0", "Add.fp32 E0, #1e39 -> -", "too large for fp32"),
        ("VXM0", "Add.fp32 E0, #1e400 -> -", "too large for fp32"),
        ("VXM0", "Add.fp16 E0, #65520 -> -", "too large for fp16"),
        ("VXM0", "Add.fp32 E0, #half -> -", "expected a number of type fp32"),
        ("VXM0", "Add.fp32 E0, #0x100000000 -> -", "more than 32 bits"),
        ("VXM0", "Add.fp32 E0, 1 -> -", "expected a stream, an ALU such as ALU3 or an immediate"),
        ("MXM_W0_ACC", "ACC.set 0 -> -", "expected ACC.new or ACC.add"),
        # not an instruction of this queue
        ("VXM0", "Read 0, E0", "Read is not an instruction of queue VXM0"),
        ("MEM_W0", "Add.int8 E0, E1 -> -", "not an instruction of queue MEM_W0"),
        ("MEM_W0", "Deskew", "Deskew is not an instruction of queue MEM_W0"),
        ("SXM_E_SHIFT1", "Permute E0, E2 -> W0", "not an instruction of queue SXM_E_SHIFT1"),
        ("MXM_W0_ABC", "LW E0, 0", "not an instruction of queue MXM_W0_ABC"),
        ("MXM_E1_ABC", "ABC.fp16 E0", "for the inner plane, which MXM_E1 is not"),
        ("MXM_W0_ABC", "ABC.int16 E0", "ABC is for int8 and fp16, not int16"),
        # streams
        ("MEM_W0", "Read 0, E32", "E32 is not one of E0 to E31"),
        ("MEM_W0", "Gather E0, E1", "map_stream E1 is not aligned: its group has 2 streams"),
        ("MEM_W0", "Read 0, E0 | Write 1, W40", "W40 is not one of W0 to W31"),
        ("VXM0", "Add.fp32 E0, E2 -> -", "right E2 is not aligned"),
        ("VXM0", "Convert.int8.fp32 E1 -> W1", "destination W1 is not aligned"),
        ("VXM0", "Copy.int16 E32 -> -", "not one of E0 to E31"),
        ("MXM_W0_WEIGHTS", "LW E8, 0", "E8 is not aligned: its group has 16 streams"),
        ("MXM_W0_ABC", "ABC.fp16 E3", "not aligned"),
        ("MXM_W0_ACC", "ACC.new 0 -> W2", "not aligned"),
        ("SXM_W_PERMUTE", "Permute E0, E3 -> W0", "not aligned"),
        ("SXM_W_ROTATE", "Rotate 3, E0 -> W9", "not aligned"),
        ("SXM_W_TRANSPOSE", "Transpose E0 -> W8", "not aligned"),
        # numbers
        ("MEM_W0", "Read 0x2000, E0", "address 0x2000 is outside the slice, which ends at 0x1fff"),
        ("MEM_W0", "Write -1, E0", "address -0x1 is outside"),
        ("MEM_W0", "Read 0, E0 | Write 0x2000, E1", "outside the slice"),
        ("MEM_W0", "Read 0, E0 step 32768", "step is -32768 to 32767"),
        ("MEM_W0", "NOP 0", "cycles is 1 to 65535, not 0"),
        ("MEM_W0", "NOP 65536", "cycles is 1 to 65535"),
        ("MEM_W0", "Config 21", "superlanes is 1 to 20"),
        ("C2C0", "RuntimeDeskew 0", "cycles is 1 to 65535"),
        ("MXM_W0_WEIGHTS", "LW E0, 305", "row is 0 to 304"),
        ("MXM_W0_WEIGHTS", "IW 321", "rows is 0 to 320"),
        ("MXM_W0_ACC", "ACC.new 64 -> -", "slot is 0 to 63"),
        ("SXM_W_SHIFT0", "Shift E0, -321 -> W0", "lanes is -320 to 320"),
        ("SXM_W_SHIFT0", "Select E0, E1, 321 -> W0", "boundary is 0 to 320"),
        ("SXM_W_ROTATE", "Rotate 5, E0 -> W0", "size is 3 to 4"),
        ("SXM_W_DISTRIBUTE", "Distribute E0, [0 1] -> W0", "the map names 2 lanes, not 16"),
        (
            "SXM_W_DISTRIBUTE",
            "Distribute E0, [0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17] -> W0",
            "the map names lane 17, which is not 0 to 15",
        ),
        # VXM operands and types
        ("VXM0", "Add.int8 ALU2, E0 -> -", "ALU2 is no mesh neighbour of VXM0"),
        ("VXM5", "Copy.int8 ALU10 -> -", "ALU10 is no mesh neighbour of VXM5"),
        ("VXM3", "Convert.int8.fp32 ALU4 -> -", "no mesh neighbour"),
        ("VXM0", "Shl.fp32 E0, #1 -> -", "Shl is for integers, not fp32"),
        ("VXM0", "Not.fp16 E0 -> -", "Not is for integers"),
        ("VXM0", "TanH.int32 E0 -> -", "TanH is for fp16 and fp32, not int32"),
        # order
        ("MEM_W0", "Repeat 1, 1", "Repeat has no instruction before it"),
        ("MEM_W0", "Sync\nRepeat 1, 1", "Repeat cannot follow Sync"),
        ("MEM_W0", "Read 0, E0\nRepeat 1, 1\nRepeat 1, 1", "Repeat cannot follow Repeat"),
        ("MEM_W0", "Read 0, E0\nNOP 1\nRepeat 1, 1", "Repeat cannot follow NOP"),
        ("C2C0", "Deskew\nRepeat 1, 1", "Repeat cannot follow Deskew"),
        ("MEM_W0", "Read 0, E0\nRepeat 0, 1", "count is 1 to 65535"),
        ("MEM_W0", "Read 0, E0\nRepeat 1, 0", "distance is 1 to 65535"),
        ("MEM_W0", "Read 0, E0\n@1 Repeat 1, 1", "Repeat takes no cycle of its own"),
        ("MEM_W0", "NOP 5\n@4 Read 0, E0", "expected cycle 5 or later, not 4"),
        ("MEM_W0", "Read 0, E0\nRepeat 2, 3\n@6 Read 0, E0", "expected cycle 7 or later, not 6"),
        ("MEM_W0", "Sync\n@-1 Read 0, E0", "expected cycle 0 or later"),
        ("MEM_W0", "@4", "expected `@CYCLE INSTRUCTION`"),
        ("MEM_W0", "@soon Read 0, E0", "expected an integer, not `soon`"),
    ],
)
def test_an_instruction_that_its_queue_cannot_take_is_refused(queue: str, instruction: str, expected: str) -> None:
    lines = f"; a comment\n\nqueue {queue}\n{instruction}"
    error = refusal(lines)
    assert re.search(expected, error.detail), error
    assert error.line_number == lines.count("\n") + 1
    assert str(error) == f"line {error.line_number}: {error.detail}"


@pytest.mark.parametrize(
    ("line_number", "text", "expected"),
    [
        (1, "Read 0, E0", "expected a directive, or a queue or .text before the instruction"),
        (3, "queue MEM_W0\n.chip 1\nRead 0, E0", "expected a directive"),
        (1, "queue MEM_W44", "expected a queue such as MEM_W0, VXM15 or MXM_E0_ACC, not `MEM_W44`"),
        (1, "queue", "expected a queue"),
        (2, "\n.data x", "not `.data`"),
        (1, ".program two words", "expected a name without spaces"),
        (2, ".program one\n.program two", "expected one .program only"),
        (1, ".chip -1", "expected chip 0 to 10439, not -1"),
        (1, ".chip", "expected an integer"),
        (1, ".link 0.0 1", "expected `.link CHIP.LINK CHIP.LINK`"),
        (1, ".link 0.0 1.16", "expected link 0 to 15, not 16"),
        (2, ".link 0.0 1.1\n.link 2.0 1.1", "link 1.1 is joined already"),
        (1, ".link 0.0 0.0", "link 0.0 is joined already"),
        # regions
        (1, ".input x int8 MEM_W0 0", r"expected `.input NAME TYPE\[ROWS, LANES\] SLICES ADDRESS \[step N\]`"),
        (1, ".input x int8[1, 1] MEM_W0 0 = 1", "expected `.input"),
        (1, ".constant x int8[1, 1] MEM_W0 0", "expected `.constant .* = VALUES`"),
        (1, ".input x int64[1, 1] MEM_W0 0", "expected one of int8"),
        (1, ".input x int8[1, 321] MEM_W0 0", "not at least 1 of 1 to 320"),
        (1, ".input x int8[0, 1] MEM_W0 0", "0 rows"),
        (1, ".input x fp32[1, 1] MEM_W0..MEM_W2 0", "3 slices, not a multiple of the 4 bytes of fp32"),
        (1, ".input x int8[1, 1] MEM_W44 0", "MEM_W44, which is no MEM slice"),
        (1, ".input x int8[1, 1] VXM 0", "no MEM slice"),
        (1, ".input x int16[1, 1] MEM_W1..MEM_E0 0", "expected a range of slices of one side"),
        (1, ".input x int8[2, 1] MEM_W0 0x1fff", "x takes address 0x2000 of MEM_W0, which ends at 0x1fff"),
        (1, ".input x int8[2, 1] MEM_W0 0 step -1", "address -0x1"),
        (1, ".input x int8[2, 1] MEM_W0 0 step 0", "its rows overlap"),
        (2, ".input x int8[1, 1] MEM_W0 0\n.output x int8[1, 1] MEM_W0 1", "already the name"),
        (3, ".input x int8[1, 1] MEM_W0 0\n.chip 1\n.input x int8[1, 1] MEM_W0 0", "already the name"),
        (2, ".input x int8[4, 1] MEM_W0 0\n.output y int8[2, 1] MEM_E0 MEM_W0 3", "y overlaps x in MEM_W0"),
        (1, ".input x int16[1, 1] MEM_W0 MEM_W0 3", "x overlaps x in MEM_W0"),
        # constants
        (1, ".constant x int8[1, 3] MEM_W0 0 = 1 2", "expected 3 values, not 2"),
        (1, ".constant x int8[1, 1] MEM_W0 0 = 1 2", "expected 1 values, not 2"),
        (1, ".constant x int8[1, 1] MEM_W0 0 = 1 2 ...", "expected 1 values, not 2"),
        (1, ".constant x int8[1, 1] MEM_W0 0 = ...", "not 0"),
        (1, ".constant x int8[1, 1] MEM_W0 0 =", "not 0"),
        (1, ".constant x int8[1, 2] MEM_W0 0 = ... 1", "expected a number of type int8"),
        (1, ".constant x int8[1, 1] MEM_W0 0 = 0x100", "more than 8 bits"),
        (1, ".constant x int8[1, 320] MEM_W0 0 = each lane", "expected values of int8, not 0 to 319"),
        (1, ".constant x fp16[1, 1] MEM_W0..MEM_W1 0 = each lane + 70000", "expected values of fp16"),
        (1, ".constant x int8[1, 1] MEM_W0 0 = each column", "not `column`"),
        (1, ".constant x int8[1, 2] MEM_W0 0 = each 4 // lane", "division by zero"),
        (1, ".constant x int8[1, 2] MEM_W0 0 = each 1 << lane - 1", "expected a shift by 0 to 63"),
        (1, ".constant x int8[99999, 99999] MEM_W0 0 = each lane", "expected a constant of 1 to"),
        (2, "\n.constant x int8[1, 3] MEM_W0 0 = \\\n 1 2 \\\n 300", "`300` does not fit int8"),
        # texts
        (1, ".text t MEM_W0", "expected `.text NAME SLICE ADDRESS`"),
        (1, ".text t VXM 0", "no MEM slice"),
        (1, ".text t MEM_W0 0x1fff\n" + "Sync\n" * 21, "address 0x2000"),
        (2, ".input x int8[1, 1] MEM_W0 1\n.text t MEM_W0 0\n" + "Sync\n" * 21, "t overlaps x"),
        (2, ".text t MEM_W0 0\nShl.fp32 E0, E4 -> -", "Shl is for integers"),
        (2, ".text t MEM_W0 0\nRepeat 1, 1", "no instruction before it"),
        (2, ".text t MEM_W0 0\nRead 0x2000, E0", "outside the slice"),
        # macros
        (1, ".let x 3", "expected `.let NAME = EXPRESSION`"),
        (1, ".let row = 3", "expected another name than `row`"),
        (1, ".for i = 0\n.end", "expected `.for NAME = FIRST to LAST`"),
        (2, "\n.for i = 0 to 3\nqueue VXM0", "expected an .end after .for"),
        (1, ".end", "expected a .for before .end"),
        (3, ".for i = 0 to 1\nqueue MEM_W0\nRead {i * 8192}, E0\n.end", "address 0x2000 is outside"),
        (2, "queue MEM_W0\nRead {x}, E0", "expected a name that .let or .for defines, not `x`"),
        (4, ".for i = 0 to 1\n.end\nqueue MEM_W0\nRead {i}, E0", "not `i`"),
        (1, ".let x = 1 / 2", "expected integers, names"),
        (1, ".let x = 1.5", "expected integers"),
        (1, ".let x = 2 ** 9", "expected integers"),
        (1, ".let x = __import__('os')", "expected integers"),
        (1, ".let x = (1).real", "expected integers"),
        (1, ".let x = True", "expected integers"),
        (1, ".let x = min()", "expected integers"),
        (1, ".let x = (1 +", "expected an expression"),
        (1, ".let x = 1 % 0", "division by zero"),
        (1, ".let x = 1 << 64", "expected a shift by 0 to 63"),
        (1, ".let x = 1 << 63", "more than 63 bits"),
        (1, ".let x = " + "1 + " * 100 + "1", "at most 300 characters"),
        (1, ".for i = 0 to 1 << 40\n.end", "expected at most 1,000,000 lines"),
        (17, ".for i = 0 to 1\n" * 17 + ".end\n" * 17, "at most 16 loops"),
    ],
)
def test_a_text_that_does_not_assemble_names_its_line(line_number: int, text: str, expected: str) -> None:
    error = refusal(text)
    assert re.search(expected, error.detail), error
    assert error.line_number == line_number


def test_an_assembly_error_is_one_of_the_backend() -> None:
    assert isinstance(refusal("?"), LpuBackendError)


def test_a_program_made_without_text_obeys_the_same_rules() -> None:
    inner, outer = QUEUES["MXM_W0_ABC"], QUEUES["MXM_W1_ABC"]
    instruction = isa.ActivationBuffer(DataType.FP16, E0)
    assert find_fault(instruction, inner, GROQCHIP1) is None
    assert "inner plane" in find_fault(instruction, outer, GROQCHIP1)
    wide = isa.Unary("Copy", DataType.INT8, Immediate(1 << 32), None)
    assert "does not fit 32 bits" in find_fault(wide, QUEUES["VXM0"], GROQCHIP1)


def test_an_address_past_the_slice_is_no_bad_instruction_but_a_fault_of_its_own() -> None:
    instruction = isa.MemPair(isa.Read(0, E0), isa.Write(8_192, E0))
    assert find_fault(instruction, QUEUES["MEM_W0"], GROQCHIP1) is None
    assert "0x2000" in find_address_fault(instruction, GROQCHIP1)


def test_a_constant_made_without_text_must_bring_all_its_data() -> None:
    region = Region("c", "constant", DataType.FP16, 1, 4, ("MEM_W0", "MEM_W1"), 0, data=bytes(7))
    assert Placement(GROQCHIP1).add_region(region) == "c has 7 bytes of data, not 8"
