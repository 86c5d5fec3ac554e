"""Softmax over all channels of a row. docs/numerics.md, "Softmax"."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.compiler.agreeing import FP32, INT8, UINT8, agree, fold_stride, make_code_value, walk
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, integer, number
from lpu_backend.compiler.layouts import Layout
from lpu_backend.compiler.scaling import count_sum, write_counts
from lpu_backend.compiler.vector_program import Argument, Of

_SIGN = integer(0x80)
COUNT_STEPS = float(2**18)
"""Exponentials, which are below 8, are counted in these steps: 21 bits."""


def apply_softmax(
    program: ProgramBuilder, name: str, values: tuple[str, str], layout: Layout, tokens: int, result: str
) -> None:
    """`values` are each chip's rows and all rows; the result is each chip's."""
    shard, whole = values
    columns = len(layout.whole)
    absent = program.constant(f"{name} absent", FP32, columns, lambda _: _hide(layout.whole)[None])
    largest = _find_largest(program, name, whole, absent, (tokens, columns))
    counts = program.local(f"{name} counts", INT8, 3 * tokens * columns, spread=3)
    for part in walk(tokens, columns):
        m = MapBuilder(program, f"{name} exponentials", part.places)
        value = m.op("Add", FP32, m.read(whole, *part.at(1, tokens)), m.read(absent, *part.at(0, 1)))
        share = exponentiate(m, value, m.read(largest, *part.at(1, 0)))
        write_counts(m, share, COUNT_STEPS, counts, tuple(part.at(3 * columns, 3, digit) for digit in range(3)))
        m.finish()
    divisor = count_sum(program, name, counts, (tokens, columns), COUNT_STEPS)
    present = program.constant(f"{name} hidden", FP32, layout.rows, lambda _: _hide(layout.channels))
    for part in walk(tokens, layout.rows):
        m = MapBuilder(program, name, part.places)
        value = m.op("Add", FP32, m.read(shard, *part.at(1, tokens)), m.read(present, *part.at(0, 1)))
        share = exponentiate(m, value, m.read(largest, *part.at(1, 0)))
        m.write(m.op("Mul", FP32, share, m.read(divisor, *part.at(1, 0))), result, *part.at(1, tokens))
        m.finish()


def write_quarters(m: MapBuilder, score: Argument, codes: str, rows: tuple[int, int]) -> None:
    """A score in quarters of its size as a byte whose order is that of the numbers: three steps."""
    quarters = m.convert(FP32, INT8, m.op("Mul", FP32, score, number(0.25)))
    m.write(m.op("Xor", UINT8, quarters, _SIGN), codes, *rows)


def exponentiate(m: MapBuilder, score: Argument, largest: Argument) -> Of:
    """Exp(score - 4 z), z the byte of the largest: five steps."""
    shift = m.op("Mul", FP32, m.convert(INT8, FP32, m.op("Xor", UINT8, largest, _SIGN)), number(4.0))
    return m.op("Exp", FP32, m.op("Sub", FP32, score, shift))


def _find_largest(program: ProgramBuilder, name: str, whole: str, absent: str, shape: tuple[int, int]) -> str:
    tokens, columns = shape
    codes = make_code_value(program, f"{name} quarters", tokens, columns)
    for part in walk(tokens, columns):
        m = MapBuilder(program, f"{name} quarters", part.places)
        value = m.op("Add", FP32, m.read(whole, *part.at(1, tokens)), m.read(absent, *part.at(0, 1)))
        write_quarters(m, value, codes, part.at(fold_stride(columns), 1))
        m.finish()
    return agree(program, codes, tokens, columns, program.chip_tiles)


def _hide(channels: NDArray[np.int64]) -> NDArray[np.float32]:
    """-inf where there is no channel, else 0."""
    return np.where(channels >= 0, np.float32(0.0), np.float32(-np.inf))
