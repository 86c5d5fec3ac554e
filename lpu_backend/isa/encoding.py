"""Instructions as words of 16 bytes, as they lie in a queue and in SRAM (TSP gives the width alone: all else assumed).

A word is little endian and filled from its lowest bit: the opcode in byte 0, then the fields in the order of the
table below, then zeros. The word of zeros is no instruction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lpu_backend.exceptions import LpuBackendError
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Stream

WORD_BYTES = 16
OPCODE_BITS = 8


class EncodingError(LpuBackendError):
    """An instruction with a value that its field cannot hold, or a word that is no instruction."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """How one kind of value lies in `bits` bits."""

    bits: int
    pack: Callable[[Any], int]
    unpack: Callable[[int], Any]


def _unsigned(bits: int) -> _Codec:
    def pack(value: int) -> int:
        if not 0 <= value < 1 << bits:
            raise EncodingError(f"{value} does not fit {bits} bits")
        return int(value)

    return _Codec(bits, pack, int)


def _signed(bits: int) -> _Codec:
    half = 1 << (bits - 1)

    def pack(value: int) -> int:
        if not -half <= value < half:
            raise EncodingError(f"{value} does not fit {bits} bits and a sign")
        return int(value) % (2 * half)

    return _Codec(bits, pack, lambda word: (word ^ half) - half)


def _choice(bits: int, *values: object) -> _Codec:
    def pack(value: object) -> int:
        if value not in values:
            raise EncodingError(f"{value!r} is not one of {', '.join(map(repr, values))}")
        return values.index(value)

    def unpack(word: int) -> object:
        if word >= len(values):
            raise EncodingError(f"{word} stands for none of {', '.join(map(repr, values))}")
        return values[word]

    return _Codec(bits, pack, unpack)


def _optional(codec: _Codec) -> _Codec:
    def pack(value: object) -> int:
        return 0 if value is None else codec.pack(value) << 1 | 1

    return _Codec(codec.bits + 1, pack, lambda word: codec.unpack(word >> 1) if word & 1 else None)


def _array(length: int, codec: _Codec) -> _Codec:
    def pack(values: tuple[object, ...]) -> int:
        if len(values) != length:
            raise EncodingError(f"{len(values)} values where {length} belong")
        return sum(codec.pack(value) << place * codec.bits for place, value in enumerate(values))

    def unpack(word: int) -> tuple[object, ...]:
        return tuple(codec.unpack(word >> place * codec.bits & (1 << codec.bits) - 1) for place in range(length))

    return _Codec(length * codec.bits, pack, unpack)


def _record(kind: type, fields: Mapping[str, _Codec]) -> _Codec:
    def pack(value: object) -> int:
        word = 0
        for name, codec in reversed(list(fields.items())):
            try:
                word = word << codec.bits | codec.pack(getattr(value, name))
            except EncodingError as error:
                raise EncodingError(f"{kind.__name__}, {name}: {error}") from None
        return word

    def unpack(word: int) -> object:
        values = {}
        for name, codec in fields.items():
            values[name] = codec.unpack(word & (1 << codec.bits) - 1)
            word >>= codec.bits
        return kind(**values)

    return _Codec(sum(codec.bits for codec in fields.values()), pack, unpack)


def _union(tag_bits: int, members: Mapping[int, tuple[type, Mapping[str, _Codec]]]) -> _Codec:
    """One of several classes, a tag before the fields saying which."""
    records = {tag: _record(kind, fields) for tag, (kind, fields) in members.items()}
    tags = {kind: tag for tag, (kind, _) in members.items()}

    def pack(value: object) -> int:
        if (tag := tags.get(type(value))) is None:
            raise EncodingError(f"{value!r} is not one of {', '.join(kind.__name__ for kind in tags)}")
        return records[tag].pack(value) << tag_bits | tag

    def unpack(word: int) -> object:
        if (record := records.get(word & (1 << tag_bits) - 1)) is None:
            raise EncodingError(f"{word & (1 << tag_bits) - 1:#x} stands for no instruction or operand")
        return record.unpack(word >> tag_bits)

    return _Codec(tag_bits + max(record.bits for record in records.values()), pack, unpack)


_CYCLES = _unsigned(16)
_ADDRESS = _unsigned(16)
_LANES = _unsigned(16)
_STEP = _signed(16)
_DTYPE = _choice(3, *DataType)
_STREAM_FIELDS = {"index": _unsigned(5), "direction": _choice(1, "E", "W")}
_STREAM = _record(Stream, _STREAM_FIELDS)
_DESTINATION = _optional(_STREAM)
_SOURCE = _union(
    2,
    {
        0: (Stream, _STREAM_FIELDS),
        1: (AluResult, {"alu": _unsigned(4)}),
        2: (Immediate, {"bits": _unsigned(32)}),
    },
)
_ACCESS_FIELDS = {"address": _ADDRESS, "stream": _STREAM, "step": _STEP}
_MAP_FIELDS = {"stream": _STREAM, "map_stream": _STREAM}
_ACCESS = _union(1, {0: (isa.Read, _ACCESS_FIELDS), 1: (isa.Write, _ACCESS_FIELDS)})
_VXM_ENDS = {"dtype": _DTYPE, "destination": _DESTINATION}

INSTRUCTION_FIELDS: Mapping[int, tuple[type[isa.Instruction], Mapping[str, _Codec]]] = {
    # ICU
    0x01: (isa.Nop, {"cycles": _CYCLES}),
    0x02: (isa.Ifetch, {"stream": _STREAM}),
    0x03: (isa.Sync, {}),
    0x04: (isa.Notify, {}),
    0x05: (isa.Config, {"superlanes": _unsigned(8)}),
    0x06: (isa.Repeat, {"count": _unsigned(16), "distance": _CYCLES}),
    # MEM
    0x10: (isa.Read, _ACCESS_FIELDS),
    0x11: (isa.Write, _ACCESS_FIELDS),
    0x12: (isa.Gather, _MAP_FIELDS),
    0x13: (isa.Scatter, _MAP_FIELDS),
    0x14: (isa.MemPair, {"first": _ACCESS, "second": _ACCESS}),
    # VXM
    0x20: (isa.Unary, {"op": _choice(5, *isa.UNARY_OPS), **_VXM_ENDS, "source": _SOURCE}),
    0x21: (isa.Binary, {"op": _choice(5, *isa.BINARY_OPS), **_VXM_ENDS, "left": _SOURCE, "right": _SOURCE}),
    0x22: (
        isa.Convert,
        {"from_type": _DTYPE, "to_type": _DTYPE, "destination": _DESTINATION, "source": _SOURCE},
    ),
    # MXM
    0x30: (isa.LoadWeights, {"stream": _STREAM, "row": _LANES, "step": _STEP}),
    0x31: (isa.InstallWeights, {"rows": _LANES}),
    0x32: (isa.ActivationBuffer, {"dtype": _DTYPE, "stream": _STREAM}),
    0x33: (
        isa.Accumulate,
        {"mode": _choice(1, "new", "add"), "slot": _unsigned(8), "destination": _DESTINATION, "step": _STEP},
    ),
    # SXM
    0x40: (isa.Shift, {"source": _STREAM, "lanes": _signed(16), "destination": _STREAM}),
    0x41: (isa.Select, {"south": _STREAM, "north": _STREAM, "boundary": _LANES, "destination": _STREAM}),
    0x42: (isa.Permute, {"source": _STREAM, "map_stream": _STREAM, "destination": _STREAM}),
    0x43: (isa.Distribute, {"source": _STREAM, "lane_map": _array(16, _unsigned(5)), "destination": _STREAM}),
    0x44: (isa.Rotate, {"size": _unsigned(3), "source": _STREAM, "destination": _STREAM}),
    0x45: (isa.Transpose, {"source": _STREAM, "destination": _STREAM}),
    # C2C
    0x50: (isa.Send, {"stream": _STREAM}),
    0x51: (isa.Receive, {"stream": _STREAM}),
    0x52: (isa.Deskew, {}),
    0x53: (isa.RuntimeDeskew, {"cycles": _CYCLES}),
}
"""Opcode: class, and the codec of each field, from the lowest bit up."""

_INSTRUCTION = _union(OPCODE_BITS, INSTRUCTION_FIELDS)


def encode(instruction: isa.Instruction) -> bytes:
    """The word of an instruction, `WORD_BYTES` bytes. EncodingError where a value does not fit its field."""
    return _INSTRUCTION.pack(instruction).to_bytes(WORD_BYTES, "little")


def decode(word: bytes) -> isa.Instruction | None:
    """The instruction in a word, None for the word of zeros. EncodingError for any that `encode` does not make."""
    if len(word) != WORD_BYTES:
        raise EncodingError(f"a word has {WORD_BYTES} bytes, not {len(word)}")
    if not any(word):
        return None
    instruction: isa.Instruction = _INSTRUCTION.unpack(int.from_bytes(word, "little"))
    if encode(instruction) != word:
        raise EncodingError(f"{word.hex()} has bits set that {type(instruction).__name__} does not use")
    return instruction
