"""Matrices of int8 codes by rows: whole sums, then the scales and the bias."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.runtime.kernel_ops import (
    BIAS,
    CODES,
    INPUTS,
    IS_WIDE,
    LANES,
    OUTPUTS,
    OUTPUTS_TOGETHER,
    SCALES,
    TOKENS_TOGETHER,
    Floats,
)
from lpu_backend.runtime.kernels.jit import compiled
from lpu_backend.runtime.kernels.machine_code import (
    multiply_2_blocks_by_4,
    multiply_4_blocks,
    multiply_4_blocks_by_2,
)

Numbers = NDArray[np.int16]
Sums = NDArray[np.int32]

_BLOCK_BYTES = 16 * 1024
"""Weights that stay in a CPU's nearest cache while all rows meet them."""
_STEP = 2 * LANES
_PLANE = np.float32(128.0)


@compiled
def share_work(items: int, thread: int, threads: int) -> tuple[int, int]:
    """From which item to which it is this thread's turn."""
    return items * thread // threads, items * (thread + 1) // threads


@compiled
def multiply(
    matrix: NDArray[np.int64],
    codes: NDArray[np.int8],
    constants: Floats,
    numbers: Numbers,
    scales: Floats,
    results: Floats,
    result_stride: int,
    sums: Sums,
    thread: int,
    threads: int,
) -> None:
    """All rows, of this thread's outputs. `numbers` [rows, 1 or 3 planes, padded inputs]: t, and where the matrix is
    wide high / 128 and low; `scales` [rows]; `sums` is room for TOKENS_TOGETHER x the outputs."""
    groups = (matrix[OUTPUTS] + OUTPUTS_TOGETHER - 1) // OUTPUTS_TOGETHER
    first, end = share_work(groups, thread, threads)
    first, end = first * OUTPUTS_TOGETHER, min(end * OUTPUTS_TOGETHER, matrix[OUTPUTS])
    rows = len(scales)
    block = end - first if rows == 1 else max(_BLOCK_BYTES // matrix[INPUTS] // OUTPUTS_TOGETHER, 1) * OUTPUTS_TOGETHER
    for start in range(first, end, max(block, OUTPUTS_TOGETHER)):
        stop = min(start + block, end)
        row = 0
        if not matrix[IS_WIDE]:
            while row + TOKENS_TOGETHER <= rows:
                _multiply_4(matrix, codes, constants, numbers, scales, results, result_stride, sums, row, start, stop)
                row += TOKENS_TOGETHER
        while row < rows:
            _multiply_1(matrix, codes, constants, numbers, scales, results, result_stride, sums, row, start, stop)
            row += 1


@compiled
def _multiply_4(
    matrix: NDArray[np.int64],
    codes: NDArray[np.int8],
    constants: Floats,
    numbers: Numbers,
    scales: Floats,
    results: Floats,
    result_stride: int,
    sums: Sums,
    row: int,
    start: int,
    stop: int,
) -> None:
    inputs, width, row_stride = matrix[INPUTS], stop - start, len(numbers) // len(scales)
    room = width + OUTPUTS_TOGETHER - 1
    block, number, steps = LANES * inputs, row * row_stride, inputs // 2
    for output in range(0, width, 2 * LANES):
        code = matrix[CODES] + (start + output) * inputs
        multiply_2_blocks_by_4(codes, code, block, _STEP, numbers, number, row_stride, steps, sums, output, room)
    for token in range(TOKENS_TOGETHER):
        _scale(
            matrix,
            constants,
            sums[token * room :],
            scales[row + token],
            results[(row + token) * result_stride :],
            start,
            stop,
        )


@compiled
def _multiply_1(
    matrix: NDArray[np.int64],
    codes: NDArray[np.int8],
    constants: Floats,
    numbers: Numbers,
    scales: Floats,
    results: Floats,
    result_stride: int,
    sums: Sums,
    row: int,
    start: int,
    stop: int,
) -> None:
    inputs, width, row_stride = matrix[INPUTS], stop - start, len(numbers) // len(scales)
    room = width + OUTPUTS_TOGETHER - 1
    result, place = results[row * result_stride :], row * row_stride
    block, steps = LANES * inputs, inputs // 2
    if matrix[IS_WIDE]:
        for output in range(0, width, OUTPUTS_TOGETHER):
            code = matrix[CODES] + (start + output) * inputs
            number = place + inputs
            multiply_4_blocks_by_2(codes, code, block, _STEP, numbers, number, inputs, steps, sums, output, room)
        _scale_apart(matrix, constants, sums, sums[room:], scales[row], result, start, stop)
    else:
        for output in range(0, width, OUTPUTS_TOGETHER):
            code = matrix[CODES] + (start + output) * inputs
            multiply_4_blocks(codes, code, block, _STEP, numbers, place, 0, steps, sums, output, 0)
        _scale(matrix, constants, sums, scales[row], result, start, stop)


@compiled
def _scale(
    matrix: NDArray[np.int64], constants: Floats, sums: Sums, scale: np.float32, result: Floats, start: int, stop: int
) -> None:
    """fp32(sum) * s_w * s + bias."""
    weight_scales = constants[matrix[SCALES] + start :]
    part = result[start:stop]
    for i in range(stop - start):
        part[i] = np.float32(sums[i]) * weight_scales[i] * scale
    if matrix[BIAS] >= 0:
        bias = constants[matrix[BIAS] + start :]
        for i in range(stop - start):
            part[i] += bias[i]


@compiled
def _scale_apart(
    matrix: NDArray[np.int64],
    constants: Floats,
    highs: Sums,
    lows: Sums,
    scale: np.float32,
    result: Floats,
    start: int,
    stop: int,
) -> None:
    """(fp32(H) * 128 + fp32(L)) * s_w * s + bias."""
    weight_scales = constants[matrix[SCALES] + start :]
    part = result[start:stop]
    for i in range(stop - start):
        part[i] = (np.float32(highs[i]) * _PLANE + np.float32(lows[i])) * weight_scales[i] * scale
    if matrix[BIAS] >= 0:
        bias = constants[matrix[BIAS] + start :]
        for i in range(stop - start):
            part[i] += bias[i]
