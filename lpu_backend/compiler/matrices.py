"""Matrices on tiles: how weights are cut, and the product of a matrix with rows in two planes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpu_backend.compiler.agreeing import FP32, INT32, walk
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, number
from lpu_backend.compiler.layouts import Layout
from lpu_backend.compiler.scaling import Planes
from lpu_backend.compiler.vector_program import Argument, MatMul, Rows, Tiles

Floats = NDArray[np.float32]
_LOAD_ROWS = 16


@dataclass(frozen=True)
class QuantisedMatrix:
    """int8 codes [outputs, inputs], a scale and perhaps a bias for each output, fp32."""

    codes: NDArray[np.int8]
    scales: Floats
    bias: Floats | None


Fetch = Callable[[int], QuantisedMatrix]
"""The matrix of a layer."""


def apply_matrix(
    program: ProgramBuilder,
    name: str,
    operand: tuple[Planes, str, Layout],
    output: Layout,
    tokens: int,
    fetch: Fetch,
    has_bias: bool,
) -> str:
    """matrix @ operand: the fp32 value that results, row (n, token) at n * tokens + token.

    `operand` is planes (a group a token), the scale to use, and the layout whose whole they are in.
    """
    planes, scale, source = operand
    rows = output.rows
    used_lanes = -(-output.used_lanes // _LOAD_ROWS) * _LOAD_ROWS
    tiles = program.weights(
        Tiles(f"{name} weights", rows, len(source.used_rows), used_lanes),
        lambda layer: cut_tiles(fetch(layer).codes, output, source, used_lanes),
    )
    sums = [program.local(f"{name} {plane}", INT32, rows * tokens) for plane in ("high", "low")]
    vectors, destinations = [], []
    for token in range(tokens):
        for plane in (0, 1):
            vectors.append(tuple(planes.row(token, column, plane) for column in source.used_rows))
            destinations.append(Rows(sums[plane], token, tokens))
    program.add(MatMul(program.unique(name), tiles, planes.planes, tuple(vectors), tuple(destinations)))

    def spread(values: Callable[[QuantisedMatrix], Floats]) -> Callable[[int], NDArray[np.float32]]:
        return lambda layer: spread_channels(values(fetch(layer)), output)

    scales = program.constant(f"{name} scales", FP32, rows, spread(lambda matrix: matrix.scales))
    bias = program.constant(f"{name} bias", FP32, rows, spread(_bias_of)) if has_bias else None
    result = program.local(name, FP32, rows * tokens)
    for part in walk(tokens, rows):
        m = MapBuilder(program, f"scale {name}", part.places)
        summed = join_planes(m, *(m.read(value, *part.at(1, tokens)) for value in sums))
        scaled = m.op("Mul", FP32, summed, m.read(scales, *part.at(0, 1)))
        scaled = m.op("Mul", FP32, scaled, m.read(scale, *part.at(1, 0, planes.first)))
        if bias is not None:
            scaled = m.op("Add", FP32, scaled, m.read(bias, *part.at(0, 1)))
        m.write(scaled, result, *part.at(1, tokens))
        m.finish()
    return result


def _bias_of(matrix: QuantisedMatrix) -> Floats:
    assert matrix.bias is not None  # noqa: S101  asked only of those that have one
    return matrix.bias


def join_planes(m: MapBuilder, high: Argument, low: Argument) -> Argument:
    """fp32(H) * 128 + fp32(L): four steps."""
    scaled = m.op("Mul", FP32, m.convert(INT32, FP32, high), number(128.0))
    return m.op("Add", FP32, scaled, m.convert(INT32, FP32, low))


def cut_tiles(codes: NDArray[np.int8], output: Layout, source: Layout, rows: int) -> NDArray[np.int8]:
    """[chips, outputs, inputs, rows, lanes]: each chip's outputs by the used rows of the whole source."""
    padded = np.zeros((codes.shape[0] + 1, codes.shape[1] + 1), np.int8)
    padded[:-1, :-1] = codes
    by_input = padded[:, source.whole[list(source.used_rows)]]  # [outputs + 1, inputs, lanes]; -1 is the zero column
    tiles: NDArray[np.int8] = by_input[output.channels[:, :, :rows]]  # [chips, rows of output, rows, inputs, lanes]
    return np.ascontiguousarray(tiles.swapaxes(2, 3))


def spread_channels(values: Floats, layout: Layout) -> Floats:
    """[channels] to [chips, rows, lanes], zero where there is no channel."""
    return np.append(values, np.float32(0.0))[layout.channels]
