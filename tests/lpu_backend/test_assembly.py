"""Assembly texts: what they say, and that what is printed is read back the same."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.assembly import assemble, disassemble, format_instruction
from lpu_backend.assembly.forms import parse_instruction
from lpu_backend.checker import check_program
from lpu_backend.chip import GROQCHIP1, Queue
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Stream
from lpu_backend.isa.placement import list_spans
from lpu_backend.isa.program import Link, Program, Text
from lpu_backend.isa.validity import find_address_fault, find_fault
from lpu_backend.machine import run_program
from tests.lpu_backend.instruction_strategies import encodable_instructions, valid_instructions
from tests.lpu_backend.program_strategies import programs

GRAMMAR = (Path(__file__).parents[2] / "docs" / "assembly.md").read_text()
E0, E1, E4, W0 = Stream("E", 0), Stream("E", 1), Stream("E", 4), Stream("W", 0)


def queue_of(text: str, name: str = "MEM_W0", chip: int = 0) -> tuple[isa.Instruction, ...]:
    """What one queue of a text's program holds."""
    return assemble(text).queues[chip][name]


@given(encodable_instructions)
@settings(max_examples=200, deadline=None)
def test_every_instruction_reads_back_from_its_text(instruction: isa.Instruction) -> None:
    assert parse_instruction(format_instruction(instruction)) == instruction


@given(valid_instructions())
@settings(max_examples=200, deadline=None)
def test_what_a_queue_takes_assembles_in_it(pair: tuple[isa.Instruction, Queue]) -> None:
    instruction, queue = pair
    assert find_fault(instruction, queue, GROQCHIP1) is None
    assert find_address_fault(instruction, GROQCHIP1) is None
    assert queue_of(f"queue {queue.name}\n{format_instruction(instruction)}", queue.name) == (instruction,)


@given(programs())
@settings(max_examples=60, deadline=None)
def test_a_printed_program_assembles_to_an_equal_one(program: Program) -> None:
    assert assemble(disassemble(program)) == program


def test_the_example_of_the_grammar_assembles() -> None:
    program = assemble(GRAMMAR.split("```")[1])
    assert program.name == "vector-add"
    assert program.chips == 2
    assert program.queues[0]["VXM0"] == (isa.Nop(6), isa.Binary("AddSat", DataType.INT8, E0, E1, Stream("E", 2)))
    assert program.queues[0]["MEM_E0"] == (isa.Nop(11), isa.Write(0x1000, Stream("E", 2)))
    assert program.queues[1] == {}
    assert program.links == (Link(0, 0, 1, 3),)
    assert program.texts == (Text("fetched", "MEM_W9", 0x20, (isa.Read(1, Stream("E", 3)),)),)
    two, swap = program.regions[3:]
    assert two.slices == ("MEM_E4", "MEM_E5", "MEM_E6", "MEM_E7")
    assert np.array_equal(two.array(), np.full((1, 320), 2.0, dtype=np.float32))
    assert np.array_equal(swap.array()[0], np.arange(320) ^ 1)
    assert assemble(disassemble(program)) == program


def test_the_example_of_the_grammar_runs() -> None:
    program = assemble(GRAMMAR.split("```")[1])
    x = np.arange(320, dtype=np.int8).reshape(1, 320)
    run = run_program(program, {"x": x, "y": np.full((1, 320), 100, np.int8)})
    np.testing.assert_array_equal(run.outputs["z"], np.minimum(x.astype(np.int16) + 100, 127))
    assert check_program(program).cycles == run.cycles


def test_every_instruction_of_the_grammar_prints_as_it_is_written() -> None:
    table = GRAMMAR.split("## Instructions")[1].split("Operands stand")[0]
    written = [text.replace("\\|", "|") for text in re.findall(r"`([^`]+)`", table)]
    assert len(written) > 30
    assert {type(parse_instruction(text)) for text in written} == set(isa.Instruction.__args__)
    assert [format_instruction(parse_instruction(text)) for text in written] == written


def test_operands_stand_in_the_order_of_the_fields() -> None:
    assert parse_instruction("Convert.int32.fp16 E0 -> W0") == isa.Convert(DataType.INT32, DataType.FP16, E0, W0)
    assert parse_instruction("Sub.int8 ALU4, E1 -> -") == isa.Binary("Sub", DataType.INT8, AluResult(4), E1, None)
    assert parse_instruction("Gather E0, E4") == isa.Gather(stream=E0, map_stream=E4)
    assert parse_instruction("Select E0, E1, 7 -> W0") == isa.Select(south=E0, north=E1, boundary=7, destination=W0)
    assert parse_instruction("Repeat 5, 2") == isa.Repeat(count=5, distance=2)


def test_spaces_around_commas_and_arrows_do_not_matter() -> None:
    assert parse_instruction("Add.int8 E0,#-1->-") == parse_instruction("Add.int8  E0 ,  #-1  ->  -")


@pytest.mark.parametrize(
    ("written", "bits"),
    [
        ("Add.fp32 E0, #0.5 -> -", 0x3F000000),
        ("Add.fp32 E0, #1 -> -", 0x3F800000),
        ("Add.fp32 E0, #-0.0 -> -", 0x80000000),
        ("Add.fp32 E0, #1e-45 -> -", 1),
        ("Add.fp32 E0, #inf -> -", 0x7F800000),
        ("Add.fp32 E0, #nan -> -", 0x7FC00000),
        ("Add.fp32 E0, #0x7f800001 -> -", 0x7F800001),
        ("Add.fp16 E0, #1.5 -> -", 0x3E00),
        ("Add.int8 E0, #-1 -> -", 0xFF),
        ("Add.int8 E0, #0xff -> -", 0xFF),
        ("Add.int8 E0, #0xffffffff -> -", 0xFFFFFFFF),
        ("Add.uint16 E0, #65535 -> -", 0xFFFF),
        ("Add.int32 E0, #-2 -> -", 0xFFFFFFFE),
    ],
)
def test_an_immediate_has_the_bits_of_its_type(written: str, bits: int) -> None:
    instruction = parse_instruction(written)
    assert instruction.right == Immediate(bits)
    assert parse_instruction(format_instruction(instruction)) == instruction


def test_a_float_immediate_prints_as_its_shortest_number_and_an_odd_nan_as_its_bits() -> None:
    def printed(bits: int) -> str:
        return format_instruction(isa.Unary("Copy", DataType.FP32, Immediate(bits), None))

    assert printed(int.from_bytes(struct.pack("<f", 0.1), "little")) == "Copy.fp32 #0.1 -> -"
    assert printed(0x7F800001) == "Copy.fp32 #0x7f800001 -> -"


@given(st.integers(0, (1 << 32) - 1))
@settings(max_examples=150, deadline=None)
def test_every_float_immediate_reads_back_to_its_bits(bits: int) -> None:
    instruction = isa.Unary("Copy", DataType.FP32, Immediate(bits), None)
    assert parse_instruction(format_instruction(instruction)) == instruction


READ = "Read 0, E0"
R = isa.Read(0, E0)


@pytest.mark.parametrize(
    ("lines", "instructions"),
    [
        (f"@0 {READ}", (R,)),
        (f"{READ}\n@1 {READ}", (R, R)),
        (f"{READ}\n@5 {READ}", (R, isa.Nop(4), R)),
        (f"NOP 3\n@4 {READ}", (isa.Nop(3), isa.Nop(1), R)),
        (f"@2 {READ}\nRepeat 3, 4\n@15 {READ}", (isa.Nop(2), R, isa.Repeat(3, 4), R)),
        (f"@2 {READ}\nRepeat 3, 4\n@16 {READ}", (isa.Nop(2), R, isa.Repeat(3, 4), isa.Nop(1), R)),
        (f"@9 Sync\n@0 {READ}", (isa.Nop(9), isa.Sync(), R)),
        (f"@9 Sync\n@3 {READ}", (isa.Nop(9), isa.Sync(), isa.Nop(3), R)),
        (f"Ifetch E0\nNotify\nConfig 4\n@3 {READ}", (isa.Ifetch(E0), isa.Notify(), isa.Config(4), R)),
        (f"@70000 {READ}", (isa.Nop(65_535), isa.Nop(4_465), R)),
    ],
)
def test_a_cycle_puts_in_the_nops_that_are_missing(lines: str, instructions: tuple[isa.Instruction, ...]) -> None:
    program = assemble(f"queue MEM_W0\n{lines}")
    assert program.queues[0]["MEM_W0"] == instructions
    assert assemble(disassemble(program)) == program


def test_the_count_starts_again_after_either_deskew() -> None:
    text = "queue C2C0\n@7 Deskew\n@2 Send E0\n@10 RuntimeDeskew 252\n@1 Receive E0"
    assert queue_of(text, "C2C0") == (
        isa.Nop(7),
        isa.Deskew(),
        isa.Nop(2),
        isa.Send(E0),
        isa.Nop(7),
        isa.RuntimeDeskew(252),
        isa.Nop(1),
        isa.Receive(E0),
    )


def test_a_queue_named_again_goes_on_with_its_cycles() -> None:
    text = "queue MEM_W0\nRead 0, E0\nqueue MEM_W1\nRead 5, E0\nqueue MEM_W0\n@3 Read 1, E0"
    assert queue_of(text) == (R, isa.Nop(2), isa.Read(1, E0))


def test_a_printed_queue_shows_cycles_in_the_place_of_nops() -> None:
    text = disassemble(assemble("queue MEM_W0\nRead 0, E0\nNOP 4\nRead 1, E0\nNOP 2\nNOP 3"))
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["Read", "0x0,", "E0"],
        ["@5", "Read", "0x1,", "E0"],
        ["NOP", "2"],
        ["NOP", "3"],
    ]


def test_loops_write_out_their_lines_with_names_and_expressions() -> None:
    text = """
.let base = 0x10 << 1
.for i = 0 to 1
queue MEM_W{i}
.for k = i to 2
@{10 * k} Read {base + min(k, 1) * 4 - i % 2}, E{k + 4 * i}
.end
.end
"""
    assert queue_of(text, "MEM_W0") == (
        isa.Read(32, E0),
        isa.Nop(9),
        isa.Read(36, E1),
        isa.Nop(9),
        isa.Read(36, Stream("E", 2)),
    )
    assert queue_of(text, "MEM_W1")[1:] == (
        isa.Read(35, Stream("E", 5)),
        isa.Nop(9),
        isa.Read(35, Stream("E", 6)),
    )


def test_a_cycle_may_be_a_name() -> None:
    assert queue_of(".let start = 4\nqueue MEM_W0\n@start Read 0, E0") == (isa.Nop(4), R)


def test_a_name_given_another_value_in_a_loop_keeps_it() -> None:
    text = ".let n = 0\nqueue MEM_W0\n.for i = 1 to 3\n.let n = n + i\nRead {n}, E0\n.end"
    assert [one.address for one in queue_of(text)] == [1, 3, 6]


def test_a_loop_hides_a_name_only_until_its_end() -> None:
    text = ".let i = 9\nqueue MEM_W0\n.for i = 1 to 1\nRead {i}, E0\n.end\nRead {i}, E0\n.for k = 1 to 0\n?\n.end"
    assert [one.address for one in queue_of(text)] == [1, 9]


@pytest.mark.parametrize(
    ("expression", "value"),
    [("-7 // 2 + 10", 6), ("-7 % 4", 1), ("6 ^ 3 | 8 & 12", 13), ("~0 + 2", 1), ("max(1, 1 << 4 >> 2, 3)", 4)],
)
def test_an_expression_is_of_integers_and_rounds_down(expression: str, value: int) -> None:
    assert queue_of(f"queue MEM_W0\nRead {{{expression}}}, E0")[0].address == value


def constant(directive: str) -> np.ndarray:
    """The data of a text's only constant."""
    program = assemble(f".constant c {directive}")
    assert assemble(disassemble(program)) == program
    return program.regions[0].array()


def test_a_constant_is_given_row_by_row() -> None:
    assert constant("int16[2, 3] MEM_W0..MEM_W1 0 = 1 -2 3 4, 5, 0x8000").tolist() == [[1, -2, 3], [4, 5, -32768]]


def test_the_last_value_of_a_constant_repeats_to_the_end() -> None:
    assert constant("fp32[2, 2] MEM_W0..MEM_W3 0 = 1 0.5 ...").tolist() == [[1, 0.5], [0.5, 0.5]]
    assert constant("int8[1, 2] MEM_W0 0 = 1 2 ...").tolist() == [[1, 2]]


def test_a_constant_may_take_several_lines() -> None:
    assert constant("int8[2, 2] MEM_W0 0 = 1 2 \\   ; the first row\n 3 4").tolist() == [[1, 2], [3, 4]]


def test_each_takes_an_expression_of_row_and_lane_and_the_names_in_scope() -> None:
    text = ".let k = 3\n.constant c uint16[2, 4] MEM_W0..MEM_W1 0 = each row * 100 + max(lane ^ 1, k)"
    assert assemble(text).regions[0].array().tolist() == [[3, 3, 3, 3], [103, 103, 103, 103]]
    assert constant("fp16[2, 2] MEM_W0..MEM_W1 0 = each (row << 11) + lane").tolist() == [[0, 1], [2048, 2048]]
    assert constant("int8[1, 2] MEM_W0 0 = each -7").tolist() == [[-7, -7]]


@pytest.mark.parametrize("dtype", DataType)
def test_a_constant_of_every_type_and_any_bits_is_printed_whole(dtype: DataType) -> None:
    edges = {1: [0x00, 0x7F, 0x80, 0xFF], 2: [0x8000, 0x7E00, 0x7C01, 0xFFFF], 4: [1, 1 << 31, 0x7FC00000, 0xFF800001]}
    data = np.array(edges[dtype.streams], dtype=f"<u{dtype.streams}")
    slices = f"MEM_W{dtype.streams - 1}..MEM_W0" if dtype.streams > 1 else "MEM_W0"
    bits = " ".join(f"{value:#x}" for value in data.tolist())
    assert constant(f"{dtype.value}[1, 4] {slices} 0 = {bits}").tobytes() == data.tobytes()


@given(st.binary(min_size=64, max_size=64), st.sampled_from(list(DataType)))
@settings(max_examples=60, deadline=None)
def test_any_data_reads_back_to_the_same_bytes(data: bytes, dtype: DataType) -> None:
    lanes = 64 // dtype.streams
    slices = " ".join(f"MEM_E{place}" for place in range(dtype.streams))
    literals = " ".join(f"0x{value:x}" for value in np.frombuffer(data, dtype=f"<u{dtype.streams}").tolist())
    assert constant(f"{dtype.value}[1, {lanes}] {slices} 7 step 3 = {literals}").tobytes() == data


def test_slices_are_ranges_up_and_down_and_names() -> None:
    text = ".input x int8[9, 1] MEM_W3..MEM_W1 MEM_E0 MEM_E4..MEM_E5 0x10 step 2"
    program = assemble(text)
    assert program.regions[0].slices == ("MEM_W3", "MEM_W2", "MEM_W1", "MEM_E0", "MEM_E4", "MEM_E5")
    assert text in disassemble(program)


def test_a_printed_range_does_not_turn_back() -> None:
    text = ".input x int8[1, 1] MEM_W1..MEM_W2 MEM_W1 0x10"
    assert text in disassemble(assemble(text))


def test_regions_of_one_slice_may_interleave_and_chips_have_slices_of_their_own() -> None:
    text = """
.input even int8[4, 1] MEM_W0 0 step 2
.input odd int8[4, 1] MEM_W0 1 step 2
.chip 1
.input there int8[4, 1] MEM_W0 0
"""
    program = assemble(text)
    assert [(region.address, region.chip) for region in program.regions] == [(0, 0), (1, 0), (0, 1)]
    assert program.chips == 2


def test_a_way_without_rows_takes_no_address() -> None:
    program = assemble(".input x int8[4, 1] MEM_W0 0\n.output y int8[1, 1] MEM_E0 MEM_W0 3")
    assert [list(region.places())[-1][2:] for region in program.regions] == [("MEM_W0", 3), ("MEM_E0", 3)]


@given(programs())
@settings(max_examples=30, deadline=None)
def test_the_spans_of_a_region_are_its_places(program: Program) -> None:
    for region in program.regions:
        places = {(slice_name, address) for _, _, slice_name, address in region.places()}
        assert {(name, address) for name, span in list_spans(region) for address in span} == places


def test_each_chip_has_queues_of_its_own() -> None:
    text = "queue MEM_W0\nRead 0, E0\n.chip 2\nqueue MEM_W0\nRead 1, E0\n.chip 0\nqueue MEM_W0\n@4 Read 2, E0"
    assert queue_of(text, chip=0) == (R, isa.Nop(3), isa.Read(2, E0))
    assert queue_of(text, chip=2) == (isa.Read(1, E0),)
    assert assemble(text).queues[1] == {}


def test_a_text_holds_instructions_of_any_one_queue_with_their_cycles() -> None:
    text = ".text t MEM_E3 0x40\nAdd.int8 ALU15, E0 -> -\nRepeat 3, 1\n@6 Add.int8 ALU14, E0 -> -\n.chip 1"
    texts = assemble(text).texts
    assert texts[0].instructions[1:3] == (isa.Repeat(3, 1), isa.Nop(2))
    assert len(texts[0].instructions) == 4


def test_an_empty_text_is_a_program_of_one_idle_chip() -> None:
    program = assemble("; nothing\n\n")
    assert program == Program("program", ({},))
    assert assemble(disassemble(program)) == program
