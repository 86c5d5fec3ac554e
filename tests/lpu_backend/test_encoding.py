"""Every instruction in a word of 16 bytes and back."""

from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given, settings

from lpu_backend.isa import instructions as isa
from lpu_backend.isa.encoding import INSTRUCTION_FIELDS, EncodingError, decode, encode
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Stream
from tests.lpu_backend.instruction_strategies import encodable_instructions

E0, W31 = Stream("E", 0), Stream("W", 31)


@given(encodable_instructions)
@settings(max_examples=300, deadline=None)
def test_every_instruction_reads_back_from_its_word(instruction: isa.Instruction) -> None:
    word = encode(instruction)
    assert len(word) == 16
    assert any(word)
    assert decode(word) == instruction


def test_every_class_has_an_opcode_and_every_field_its_bits() -> None:
    coded = dict(INSTRUCTION_FIELDS.values())
    assert set(coded) == set(get_args(isa.Instruction))
    for kind, names in coded.items():
        assert set(names) == {field.name for field in fields(kind)}
    assert all(8 + sum(codec.bits for codec in names.values()) <= 128 for names in coded.values())


def test_a_word_of_zeros_is_no_instruction() -> None:
    assert decode(bytes(16)) is None


def test_a_word_is_little_endian_with_the_opcode_first() -> None:
    assert encode(isa.Nop(0x1234)) == bytes([0x01, 0x34, 0x12]) + bytes(13)
    assert encode(isa.Read(0x10, W31, -1)) == bytes([0x10, 0x10, 0x00, 0xFF, 0xFF, 0x3F]) + bytes(10)


@pytest.mark.parametrize(
    ("instruction", "field"),
    [
        (isa.Nop(1 << 16), "cycles"),
        (isa.Nop(-1), "cycles"),
        (isa.Repeat(1, 1 << 16), "distance"),
        (isa.Read(1 << 16, E0), "address"),
        (isa.Write(0, Stream("E", 32)), "stream"),
        (isa.Read(0, E0, 1 << 15), "step"),
        (isa.Shift(E0, -(1 << 15) - 1, E0), "lanes"),
        (isa.Unary("Copy", DataType.INT8, Immediate(1 << 32), None), "source"),
        (isa.Unary("Copy", DataType.INT8, AluResult(16), None), "source"),
        (isa.Distribute(E0, (0,) * 15, E0), "lane_map"),
        (isa.Distribute(E0, (32,) * 16, E0), "lane_map"),
        (isa.MemPair(isa.Read(0, E0), isa.Gather(E0, E0)), "second"),
        (isa.Unary("Sinh", DataType.INT8, E0, None), "op"),
    ],
)
def test_a_value_that_does_not_fit_names_its_field(instruction: isa.Instruction, field: str) -> None:
    with pytest.raises(EncodingError, match=field):
        encode(instruction)


def test_what_is_no_instruction_has_no_word() -> None:
    with pytest.raises(EncodingError, match="not one of Nop"):
        encode(E0)


@pytest.mark.parametrize(
    "word",
    [
        bytes([0xFF]) + bytes(15),  # no such opcode
        bytes(15) + bytes([1]),  # opcode 0 with a bit set
        bytes([0x03]) + bytes(14) + bytes([1]),  # Sync with a bit that it does not use
        bytes([0x32, 0x07]) + bytes(14),  # ABC of the eighth of seven types
        bytes([0x33, 0x00, 0x04]) + bytes(13),  # a stream's bits where no stream is
        bytes(15),
        bytes(17),
    ],
)
def test_a_word_that_encode_does_not_make_is_refused(word: bytes) -> None:
    with pytest.raises(EncodingError):
        decode(word)
