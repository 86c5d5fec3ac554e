"""Rows become two int8 planes and a scale; sums over lanes; docs/numerics.md, "Two planes" and "Squares"."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lpu_backend.compiler.agreeing import (
    ACTIVATIONS,
    FP32,
    INT8,
    INT32,
    UINT8,
    Pass,
    agree,
    decode_scale,
    encode,
    fold_stride,
    make_code_value,
    square_of_root,
    walk,
)
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, integer, number
from lpu_backend.compiler.vector_program import Argument, In, MatMul, Of, Rows, Tiles

_ROUND = number(1.5 * 2**30)
_LOW_BITS = integer(127)
Read = Callable[[MapBuilder, Pass], Argument]
Part = tuple[Pass, Read]
"""A pass over groups and columns, and what is read in it."""


class Planes(NamedTuple):
    """Row (group, column)'s planes are at 2 * (group * columns + column) + plane, high first; a scale a group.

    `first`: groups are counted from this one on."""

    planes: str
    scale: str
    columns: int
    first: int = 0

    def row(self, group: int, column: int, plane: int) -> int:
        return 2 * ((self.first + group) * self.columns + column) + plane


def make_planes(program: ProgramBuilder, name: str, shape: tuple[int, int], parts: Sequence[Part]) -> Planes:
    """Planes of groups x columns rows, each group with one scale; `parts` cover all of them."""
    groups, columns = shape
    codes = make_code_value(program, f"{name} codes", groups, columns)
    for part, read in parts:
        m = MapBuilder(program, f"encode {name}", part.places)
        m.write(encode(m, ACTIVATIONS, read(m, part)), codes, *part.at(fold_stride(columns), 1))
        m.finish()
    agreed = agree(program, codes, groups, columns, program.chip_tiles)
    scale, steps = _make_scale(program, name, agreed, groups)

    planes = program.local(f"{name} planes", INT8, 2 * groups * columns, spread=2)
    for part, read in parts:
        m = MapBuilder(program, f"split {name}", part.places)
        counted = m.op("Mul", FP32, read(m, part), m.read(steps, *part.at(1, 0)))
        split_value(m, counted, planes, part.at(2 * columns, 2))
        m.finish()
    return Planes(planes, scale, columns)


def split_value(m: MapBuilder, counted: Argument, planes: str, rows: tuple[int, int]) -> None:
    """A number in steps as two planes, the high one to `rows`, the low one to those that follow each: six steps."""
    high = m.op("Sub", FP32, m.op("Add", FP32, counted, _ROUND), _ROUND)
    low = m.op("Sub", FP32, counted, high)
    high_code = m.convert(FP32, INT8, m.op("Mul", FP32, high, number(1 / 128)))
    m.write(high_code, planes, *rows)
    m.write(m.convert(FP32, INT8, low), planes, rows[0] + 1, rows[1])


def _make_scale(program: ProgramBuilder, name: str, codes: str, groups: int) -> tuple[str, str]:
    scale, steps = (program.local(f"{name} {what}", FP32, groups) for what in ("scale", "steps"))
    m = MapBuilder(program, f"scale {name}", groups)
    found = decode_scale(m, ACTIVATIONS, m.convert(UINT8, INT32, m.read(codes)))
    m.write(found, scale)
    m.write(square_of_root(m, found), steps)
    m.finish()
    return scale, steps


class Roots(NamedTuple):
    """A row a group: one over the root of the mean square, and that times the planes' scale."""

    root: str
    scaled: str


def find_roots(
    program: ProgramBuilder, name: str, planes: Planes, groups: int, used: Sequence[int], width: int, epsilon: float
) -> Roots:
    """RSqrt of each group's mean square + epsilon, over the columns in `used`, from the whole numbers of its planes."""
    sums = sum_squares(program, name, planes, groups, used)
    root, scaled = (program.local(f"{name} {what}", FP32, groups) for what in ("root", "scaled root"))
    m = MapBuilder(program, f"root of {name}", groups)
    total = join_squares(m, sums)
    scale = m.read(planes.scale)
    total = m.op("Mul", FP32, m.op("Mul", FP32, total, scale), scale)
    mean = m.op("Mul", FP32, total, number(1.0 / width))
    found = m.op("RSqrt", FP32, m.op("Add", FP32, mean, number(epsilon)))
    m.write(found, root)
    m.write(m.op("Mul", FP32, scale, found), scaled)
    m.finish()
    return Roots(root, scaled)


def sum_squares(program: ProgramBuilder, name: str, planes: Planes, groups: int, used: Sequence[int]) -> list[str]:
    """Sums of the squares of the planes' whole numbers, in four digits: their upper and their lower 14 bits."""
    squares = program.local(f"{name} squares", INT8, 4 * groups * planes.columns, spread=4)
    for part in walk(groups, planes.columns):
        m = MapBuilder(program, f"square {name}", part.places)
        high, low = (m.read(planes.planes, *part.at(2 * planes.columns, 2, plane)) for plane in (0, 1))
        shifted = m.op("Shl", INT32, m.convert(INT8, INT32, high), integer(7))
        whole = m.op("Add", INT32, shifted, m.convert(INT8, INT32, low))
        square = m.op("Mul", INT32, whole, whole)
        for place, digit in enumerate(_list_digits(m, square, 4)):
            m.write(digit, squares, *part.at(4 * planes.columns, 4, place))
        m.finish()
    first = [[4 * (group * planes.columns + column) for column in used] for group in range(groups)]
    return sum_lanes(program, name, squares, 4, first)


def join_squares(m: MapBuilder, sums: Sequence[str]) -> Of:
    """The sum of the squares in fp32, from its digits: eight steps."""
    large, small = (join_digits(m, [m.read(sums[place]) for place in places]) for places in ((0, 1), (2, 3)))
    total = m.op("Mul", FP32, m.convert(INT32, FP32, large), number(16384))
    return m.op("Add", FP32, total, m.convert(INT32, FP32, small))


def _list_digits(m: MapBuilder, whole: Of, digits: int) -> list[Of]:
    """A whole number (int32, not negative) in digits of 7 bits, the highest first, as int8."""
    shifted: list[Argument] = [m.op("Shr", INT32, whole, integer(7 * place)) for place in range(digits - 1, 0, -1)]
    kept = shifted[:1] + [m.op("And", INT32, part, _LOW_BITS) for part in [*shifted[1:], whole]]
    return [m.convert(INT32, INT8, digit) for digit in kept]


def join_digits(m: MapBuilder, digits: Sequence[In]) -> Argument:
    """The whole number of digits of 7 bits, the highest first: two steps a digit after the first."""
    joined: Argument = digits[0]
    for digit in digits[1:]:
        joined = m.op("Add", INT32, m.op("Shl", INT32, joined, integer(7)), digit)
    return joined


def sum_lanes(
    program: ProgramBuilder, name: str, source: str, digits: int, first: Sequence[Sequence[int]]
) -> list[str]:
    """Sums over all lanes and a group's rows, in all lanes: for each digit a value, with a row a group.

    `first[group]` has the rows of the group's highest digits; the others follow each.
    """
    lanes = program.lanes
    ones = program.weights(
        Tiles("ones", 1, 1, lanes, scope="model"), lambda _: np.ones((1, 1, 1, lanes, lanes), np.int8)
    )
    groups = len(first)
    sums = [program.local(f"{name} sum {digit}", INT32, groups) for digit in range(digits)]
    vectors, destinations = [], []
    for group, rows in enumerate(first):
        for digit in range(digits):
            vectors.append(tuple(row + digit for row in rows))
            destinations.append(Rows(sums[digit], group))
    program.add(MatMul(program.unique(f"sum {name}"), ones, source, tuple(vectors), tuple(destinations), shared=True))
    return sums


def count_sum(
    program: ProgramBuilder, name: str, counts: str, shape: tuple[int, int], steps: float, others: str | None = None
) -> str:
    """steps / (sum of a group's counts), its digits at 3 * (group * columns + column) + place: a row a group.

    `others` (int32, a row a group) are added to the sums.
    """
    groups, columns = shape
    first = [[3 * (group * columns + column) for column in range(columns)] for group in range(groups)]
    sums = sum_lanes(program, name, counts, 3, first)
    divisor = program.local(f"{name} divisor", FP32, groups)
    m = MapBuilder(program, f"divisor of {name}", groups)
    whole = join_digits(m, [m.read(value) for value in sums])
    if others is not None:
        whole = m.op("Add", INT32, whole, m.read(others))
    total = m.convert(INT32, FP32, whole)
    m.write(m.op("Mul", FP32, square_of_root(m, total), number(steps)), divisor)
    m.finish()
    return divisor


def write_counts(m: MapBuilder, value: Argument, steps: float, counts: str, rows: tuple[tuple[int, int], ...]) -> None:
    """`value` in whole steps, in three digits of 7 bits, to the rows of `counts`."""
    counted = m.convert(FP32, INT32, m.op("Mul", FP32, value, number(steps)))
    for digit, place in zip(_list_digits(m, counted, 3), rows, strict=True):
        m.write(digit, counts, *place)
