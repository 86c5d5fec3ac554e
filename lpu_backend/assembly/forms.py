"""How each instruction is written: one pattern a class, by which it is both read and printed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from lpu_backend.assembly.errors import TextError
from lpu_backend.assembly.numbers import format_value, parse_integer, parse_value
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Source, Stream

_PATTERNS = (
    (isa.Nop, "NOP {cycles:integer}"),
    (isa.Ifetch, "Ifetch {stream:stream}"),
    (isa.Sync, "Sync"),
    (isa.Notify, "Notify"),
    (isa.Config, "Config {superlanes:integer}"),
    (isa.Repeat, "Repeat {count:integer}, {distance:integer}"),
    (isa.Read, "Read {address:address}, {stream:stream}"),
    (isa.Write, "Write {address:address}, {stream:stream}"),
    (isa.Gather, "Gather {stream:stream}, {map_stream:stream}"),
    (isa.Scatter, "Scatter {stream:stream}, {map_stream:stream}"),
    (isa.Unary, "{op:word}.{dtype:type} {source:source} -> {destination:result}"),
    (isa.Binary, "{op:word}.{dtype:type} {left:source}, {right:source} -> {destination:result}"),
    (isa.Convert, "Convert.{from_type:type}.{to_type:type} {source:source} -> {destination:result}"),
    (isa.LoadWeights, "LW {stream:stream}, {row:integer}"),
    (isa.InstallWeights, "IW {rows:integer}"),
    (isa.ActivationBuffer, "ABC.{dtype:type} {stream:stream}"),
    (isa.Accumulate, "ACC.{mode:mode} {slot:integer} -> {destination:result}"),
    (isa.Shift, "Shift {source:stream}, {lanes:integer} -> {destination:stream}"),
    (isa.Select, "Select {south:stream}, {north:stream}, {boundary:integer} -> {destination:stream}"),
    (isa.Permute, "Permute {source:stream}, {map_stream:stream} -> {destination:stream}"),
    (isa.Distribute, "Distribute {source:stream}, {lane_map:map} -> {destination:stream}"),
    (isa.Rotate, "Rotate {size:integer}, {source:stream} -> {destination:stream}"),
    (isa.Transpose, "Transpose {source:stream} -> {destination:stream}"),
    (isa.Send, "Send {stream:stream}"),
    (isa.Receive, "Receive {stream:stream}"),
    (isa.Deskew, "Deskew"),
    (isa.RuntimeDeskew, "RuntimeDeskew {cycles:integer}"),
)
"""Every instruction but Pair, which is two of these. One with a step may end in `step N`."""

_STREAM = re.compile(r"([EW])([0-9]{1,4})")
_ALU = re.compile(r"ALU([0-9]{1,4})")
_IMMEDIATE_BITS = 32


@lru_cache(maxsize=1_024)
def _parse_stream(text: str) -> Stream:
    if not (match := _STREAM.fullmatch(text)):
        raise TextError(f"expected a stream such as E0 or W31, not `{text}`")
    return Stream("E" if match[1] == "E" else "W", int(match[2]))


def _parse_result(text: str) -> Stream | None:
    return None if text == "-" else _parse_stream(text)


def _parse_source(text: str, dtype: DataType) -> Source:
    if text.startswith("#"):
        return Immediate(parse_value(text[1:], dtype, _IMMEDIATE_BITS))
    if match := _ALU.fullmatch(text):
        return AluResult(int(match[1]))
    if not _STREAM.fullmatch(text):
        raise TextError(f"expected a stream, an ALU such as ALU3 or an immediate such as #1, not `{text}`")
    return _parse_stream(text)


def _format_source(source: Source, dtype: DataType) -> str:
    return f"#{format_value(source.bits, dtype)}" if isinstance(source, Immediate) else str(source)


def _parse_type(text: str) -> DataType:
    try:
        return DataType(text)
    except ValueError:
        raise TextError(f"expected one of {', '.join(dtype.value for dtype in DataType)}, not `{text}`") from None


def _parse_mode(text: str) -> str:
    if text not in ("new", "add"):
        raise TextError(f"expected ACC.new or ACC.add, not ACC.{text}")
    return text


def _parse_map(text: str) -> tuple[int, ...]:
    return tuple(isa.ZERO_LANE if lane == "z" else parse_integer(lane) for lane in text[1:-1].split())


def _format_map(lane_map: tuple[int, ...]) -> str:
    return "[" + " ".join("z" if lane == isa.ZERO_LANE else str(lane) for lane in lane_map) + "]"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of operand: what it looks like at first sight, and how it is read and printed."""

    pattern: str
    parse: Callable[..., Any]
    format: Callable[..., str]
    typed: bool = False
    """Whether reading and printing need the operand's element type."""


_OPERAND = r"[^\s,]+"
_KINDS: Mapping[str, _Kind] = {
    "integer": _Kind(_OPERAND, parse_integer, str),
    "address": _Kind(_OPERAND, parse_integer, hex),
    "stream": _Kind(_OPERAND, _parse_stream, str),
    "result": _Kind(_OPERAND, _parse_result, lambda stream: str(stream or "-")),
    "source": _Kind(_OPERAND, _parse_source, _format_source, typed=True),
    "type": _Kind(r"[^\s.,]+", _parse_type, lambda dtype: dtype.value),
    "mode": _Kind(r"[^\s.,]+", _parse_mode, str),
    "word": _Kind(r"[^\s.,]+", str, str),
    "map": _Kind(r"\[[^\]]*\]", _parse_map, _format_map),
}
_FIELD = re.compile(r"\{(\w+):(\w+)\}")
_GAPS = (("->", r"\s*->\s*"), (",", r"\s*,\s*"), (".", r"\."), (" ", r"\s+"))


class _Form:
    """The reading and printing of one class of instruction."""

    def __init__(self, kind: type[Any], pattern: str) -> None:
        self.kind = kind
        self.kinds = {name: _KINDS[operand] for name, operand in _FIELD.findall(pattern)}
        self.stepped = "step" in {field.name for field in fields(kind)}
        self.shape = _FIELD.sub(lambda match: match[1].upper(), pattern) + (" [step N]" if self.stepped else "")
        self.template = _FIELD.sub(r"{\1}", pattern)
        self.regex = re.compile(self._translate(pattern))

    def _translate(self, pattern: str) -> str:
        spaced = pattern.replace(" -> ", "->").replace(", ", ",")
        places = _FIELD.split(spaced)  # literal, name, kind, literal, ...
        regex = ""
        for literal, name, operand in zip(places[::3], places[1::3], places[2::3], strict=False):
            regex += _translate_gaps(literal) + f"(?P<{name}>{_KINDS[operand].pattern})"
        return regex + _translate_gaps(places[-1]) + (r"(?:\s+step\s+(?P<step>\S+))?" if self.stepped else "")

    def parse(self, text: str) -> Any:
        if not (match := self.regex.fullmatch(text)):
            raise TextError(f"expected `{self.shape}`")
        values: dict[str, Any] = {}
        for name, kind in self.kinds.items():
            if kind.typed:
                values[name] = kind.parse(match[name], values.get("dtype") or values["from_type"])
            else:
                values[name] = kind.parse(match[name])
        if self.stepped and match["step"]:
            values["step"] = parse_integer(match["step"])
        return self.kind(**values)

    def format(self, instruction: Any) -> str:
        texts = {}
        for name, kind in self.kinds.items():
            value = getattr(instruction, name)
            if kind.typed:
                dtype = getattr(instruction, "dtype", None) or instruction.from_type
                texts[name] = kind.format(value, dtype)
            else:
                texts[name] = kind.format(value)
        step = f" step {instruction.step}" if self.stepped and instruction.step else ""
        return self.template.format_map(texts) + step


def _translate_gaps(literal: str) -> str:
    for gap, regex in _GAPS:
        if gap in literal:
            return regex.join(_translate_gaps(part) for part in literal.split(gap))
    return re.escape(literal)


_FORMS = {kind: _Form(kind, pattern) for kind, pattern in _PATTERNS}


def _list_mnemonics(kind: type[Any]) -> tuple[str, ...]:
    operations = {isa.Unary: isa.UNARY_OPS, isa.Binary: isa.BINARY_OPS}
    return operations.get(kind, (kind.mnemonic,))


_FORMS_BY_MNEMONIC = {mnemonic: form for kind, form in _FORMS.items() for mnemonic in _list_mnemonics(kind)}


def parse_instruction(text: str) -> isa.Instruction:
    """The instruction that a line holds, stripped of its comment and cycle. TextError says what was expected."""
    if "|" in text:
        return _parse_pair(text)
    mnemonic = re.split(r"[\s.]", text, maxsplit=1)[0]
    if (form := _FORMS_BY_MNEMONIC.get(mnemonic)) is None:
        raise TextError(f"expected an instruction, not `{mnemonic}`")
    instruction: isa.Instruction = form.parse(text)
    return instruction


def _parse_pair(text: str) -> isa.MemPair:
    accesses = [parse_instruction(part.strip()) for part in text.split("|")]
    match accesses:
        case [isa.Read() | isa.Write() as first, isa.Read() | isa.Write() as second]:
            return isa.MemPair(first, second)
        case _:
            raise TextError("expected two Reads or Writes beside `|`")


def format_instruction(instruction: isa.Instruction) -> str:
    """The instruction as a line of assembly text, which `parse_instruction` reads back to an equal one."""
    if isinstance(instruction, isa.MemPair):
        return f"{format_instruction(instruction.first)} | {format_instruction(instruction.second)}"
    return _FORMS[type(instruction)].format(instruction)
