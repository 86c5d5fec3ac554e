"""Regions and texts as directives write them: slices, addresses and a constant's values."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from lpu_backend.assembly.errors import TextError
from lpu_backend.assembly.expressions import evaluate
from lpu_backend.assembly.numbers import format_values, parse_integer, parse_values
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Region

RegionKind = Literal["input", "output", "constant"]
VALUES_A_LINE = 16

_NAME = r"[^\s;{}=\\]+"
_INTEGER = r"[-+]?\w+"
_REGION = re.compile(
    rf"(?P<name>{_NAME})\s+(?P<dtype>\w+)\s*\[\s*(?P<rows>{_INTEGER})\s*,\s*(?P<lanes>{_INTEGER})\s*\]"
    rf"\s+(?P<slices>\S.*?)\s+(?P<address>{_INTEGER})(?:\s+step\s+(?P<step>{_INTEGER}))?"
)
_TEXT = re.compile(rf"({_NAME})\s+(\S+)\s+({_INTEGER})")
_SLICE = re.compile(r"(MEM_[EW])([0-9]{1,4})")


class TextHeader(NamedTuple):
    """What a `.text` directive says."""

    name: str
    slice_name: str
    address: int


def parse_name(text: str) -> str:
    """A name of a program, region or text. TextError if it has spaces or one of `;{}=\\`."""
    if not re.fullmatch(_NAME, text):
        raise TextError(f"expected a name without spaces and without any of ; {{ }} = \\, not `{text}`")
    return text


def parse_region(kind: RegionKind, text: str, names: Mapping[str, int], chip: int) -> Region:
    """What follows `.input`, `.output` or `.constant`. Whether it fits the chip is not looked at."""
    place, equals, values = text.partition("=")
    if bool(equals) is not (kind == "constant") or not (match := _REGION.fullmatch(place.strip())):
        expected = "NAME TYPE[ROWS, LANES] SLICES ADDRESS [step N]" + (" = VALUES" if kind == "constant" else "")
        raise TextError(f"expected `.{kind} {expected}`")
    dtype = _parse_type(match["dtype"])
    rows, lanes = parse_integer(match["rows"]), parse_integer(match["lanes"])
    return Region(
        name=match["name"],
        kind=kind,
        dtype=dtype,
        rows=rows,
        lanes=lanes,
        slices=_parse_slices(match["slices"]),
        address=parse_integer(match["address"]),
        step=parse_integer(match["step"] or "1"),
        chip=chip,
        data=_parse_data(values.strip(), dtype, rows, lanes, names) if equals else b"",
    )


def parse_text_header(text: str) -> TextHeader:
    """What follows `.text`."""
    if not (match := _TEXT.fullmatch(text)):
        raise TextError("expected `.text NAME SLICE ADDRESS`")
    return TextHeader(match[1], match[2], parse_integer(match[3]))


def format_region(region: Region) -> str:
    """A region's directive; a constant of many values takes several lines."""
    step = "" if region.step == 1 else f" step {region.step}"
    shape = f"{region.dtype.value}[{region.rows}, {region.lanes}]"
    place = f".{region.kind} {region.name} {shape} {_format_slices(region.slices)} {region.address:#x}{step}"
    return place + (f" = {_format_data(region)}" if region.kind == "constant" else "")


def _parse_type(text: str) -> DataType:
    try:
        return DataType(text)
    except ValueError:
        raise TextError(f"expected one of {', '.join(dtype.value for dtype in DataType)}, not `{text}`") from None


def _parse_slices(text: str) -> tuple[str, ...]:
    slices: list[str] = []
    for part in text.split():
        first, dots, last = part.partition("..")
        slices += _parse_slice_range(first, last) if dots else [first]
    return tuple(slices)


def _parse_slice_range(first: str, last: str) -> Iterable[str]:
    begin, end = _SLICE.fullmatch(first), _SLICE.fullmatch(last)
    if not begin or not end or begin[1] != end[1]:
        raise TextError(f"expected a range of slices of one side such as MEM_W3..MEM_W0, not `{first}..{last}`")
    low, high = int(begin[2]), int(end[2])
    return (f"{begin[1]}{place}" for place in (range(low, high + 1) if low <= high else range(low, high - 1, -1)))


def _format_slices(slices: tuple[str, ...]) -> str:
    """Runs of two or more neighbours as ranges."""
    runs: list[list[str]] = []
    for name in slices:
        if runs and _continues(runs[-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return " ".join(run[0] if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def _continues(run: list[str], name: str) -> bool:
    last, following = _SLICE.fullmatch(run[-1]), _SLICE.fullmatch(name)
    if not last or not following or last[1] != following[1]:
        return False
    stride = int(following[2]) - int(last[2])
    if len(run) == 1:
        return abs(stride) == 1
    before = _SLICE.fullmatch(run[-2])
    return before is not None and stride == int(last[2]) - int(before[2])


def _parse_data(text: str, dtype: DataType, rows: int, lanes: int, names: Mapping[str, int]) -> bytes:
    count = rows * lanes
    if rows < 1 or lanes < 1 or count > 1 << 24:
        raise TextError(f"expected a constant of 1 to {1 << 24:,} values, not {rows} rows of {lanes} lanes")
    if text.startswith("each "):
        return _evaluate_each(text.removeprefix("each "), dtype, rows, lanes, names)
    literals = text.replace(",", " ").split()
    fill = literals[-1:] == ["..."]
    data = parse_values(literals[:-1] if fill else literals, dtype)
    given = len(data) // dtype.streams
    if fill and 1 <= given <= count:
        return data + data[-dtype.streams :] * (count - given)
    if given != count:
        raise TextError(f"expected {count} values, not {given} (`...` repeats the last to the end)")
    return data


def _evaluate_each(expression: str, dtype: DataType, rows: int, lanes: int, names: Mapping[str, int]) -> bytes:
    """An expression of `row` and `lane` on arrays of Python ints: exact, whatever the type."""
    row = np.arange(rows).astype(object).reshape(rows, 1)
    lane = np.arange(lanes).astype(object).reshape(1, lanes)
    values = np.broadcast_to(np.asarray(evaluate(expression, {**names, "row": row, "lane": lane})), (rows, lanes))
    if not dtype.is_float:
        limits = np.iinfo(dtype.numpy.name)
        if values.min() < limits.min or values.max() > limits.max:
            raise TextError(f"expected values of {dtype.value}, not {values.min()} to {values.max()}")
        return values.astype(dtype.numpy).tobytes()
    with np.errstate(over="ignore"):
        floats = values.astype(np.float64).astype(dtype.numpy)
    if np.isinf(floats).any():
        raise TextError(f"expected values of {dtype.value}, not {values.min()} to {values.max()}")
    return floats.tobytes()


def _format_data(region: Region) -> str:
    literals = format_values(region.array(), region.dtype)
    last = len(literals)
    while last > 1 and literals[last - 2] == literals[-1]:
        last -= 1
    if last < len(literals):
        literals = [*literals[:last], "..."]
    lines = [" ".join(literals[begin : begin + VALUES_A_LINE]) for begin in range(0, len(literals), VALUES_A_LINE)]
    return lines[0] if len(lines) == 1 else " \\\n    ".join(["", *lines]).lstrip(" ")
