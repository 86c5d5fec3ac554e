"""Rows on their grids, and their norms: arithmetic/planes.py, a row at a time.

A row on the activations' grid is kept as the whole numbers t = 128 high + low, which int16 holds.
"""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.grids import ACTIVATIONS, CACHE
from lpu_backend.runtime.kernels.functions import rsqrt
from lpu_backend.runtime.kernels.jit import compiled
from lpu_backend.runtime.kernels.machine_code import float32_to_bits

Floats = NDArray[np.float32]
Numbers = NDArray[np.int16]

_MAGNITUDE_BITS = np.int32(0x7FFFFFFF)
_SCALES, _STEPS_PER_UNIT, _SHIFT = ACTIVATIONS.scales, ACTIVATIONS.steps_per_unit, int(ACTIVATIONS.shift)
_CACHE_SCALES, _CACHE_STEPS, _CACHE_SHIFT = CACHE.scales, CACHE.steps_per_unit, int(CACHE.shift)
_TO_128 = np.float32(1.5 * 2**30)
_TO_WHOLE = np.float32(1.5 * 2**23)
"""Added and taken away again, they leave the nearest multiple of 128, and of 1, ties to even."""
_PLANE = np.float32(128.0)
_SQUARE_HIGH = np.float32(1 << 14)
_ZERO = np.float32(0.0)


@compiled
def find_magnitude(x: Floats) -> np.int32:
    """The bits of the largest |x|, which are in the order of the numbers."""
    largest = np.int32(0)
    for i in range(len(x)):
        largest = max(largest, np.int32(float32_to_bits(x[i]) & _MAGNITUDE_BITS))
    return largest


@compiled
def find_index(x: Floats) -> int:
    """Where the row's scale is in the activations' tables."""
    return min(int(find_magnitude(x) >> _SHIFT), len(_SCALES) - 1)


@compiled
def split_high(steps: np.float32) -> np.float32:
    """The high plane, a multiple of 128."""
    return (steps + _TO_128) - _TO_128


@compiled
def round_whole(x: np.float32) -> np.float32:
    """Of |x| below 2^22."""
    return (x + _TO_WHOLE) - _TO_WHOLE


@compiled
def split_row(x: Floats, numbers: Numbers) -> np.float32:
    """Fill `numbers` with t, and zeros behind; returns the scale."""
    index = find_index(x)
    steps_per_unit = _STEPS_PER_UNIT[index]
    for i in range(len(x)):
        steps = x[i] * steps_per_unit
        high = split_high(steps)
        numbers[i] = np.int16(high + round_whole(steps - high))
    for i in range(len(x), len(numbers)):
        numbers[i] = 0
    return _SCALES[index]


@compiled
def split_row_apart(x: Floats, highs: Numbers, lows: Numbers) -> np.float32:
    """Fill them with high / 128 and with low, and zeros behind; returns the scale."""
    index = find_index(x)
    steps_per_unit = _STEPS_PER_UNIT[index]
    for i in range(len(x)):
        steps = x[i] * steps_per_unit
        high = split_high(steps)
        highs[i] = np.int16(high / _PLANE)
        lows[i] = np.int16(round_whole(steps - high))
    for i in range(len(x), len(highs)):
        highs[i] = 0
        lows[i] = 0
    return _SCALES[index]


@compiled
def sum_squares(x: Floats, steps_per_unit: np.float32) -> np.float32:
    """Of t: the upper and the lower 14 bits of the squares apart, each sum whole."""
    upper, lower = np.int32(0), np.int32(0)
    for i in range(len(x)):
        steps = x[i] * steps_per_unit
        high = split_high(steps)
        number = np.int32(high + round_whole(steps - high))
        square = np.int32(number * number)
        upper = np.int32(upper + (square >> 14))
        lower = np.int32(lower + (square & 16383))
    return np.float32(upper) * _SQUARE_HIGH + np.float32(lower)


@compiled
def find_root(x: Floats, epsilon: np.float32) -> np.float32:
    """One over the root of the mean square + epsilon."""
    index = find_index(x)
    scale = _SCALES[index]
    squares = sum_squares(x, _STEPS_PER_UNIT[index])
    return rsqrt(squares * scale * scale * np.float32(1.0 / len(x)) + epsilon)


@compiled
def norm_row(x: Floats, epsilon: np.float32, weight: Floats, result: Floats) -> None:
    """RMSNorm; the result may be x itself, and an empty weight is 1."""
    root = find_root(x, epsilon)
    for i in range(len(x)):
        result[i] = x[i] * root
    if len(weight):
        for i in range(len(x)):
            result[i] *= weight[i]


@compiled
def layer_norm_row(x: Floats, epsilon: np.float32, weight: Floats, bias: Floats, result: Floats) -> None:
    """LayerNorm; an empty weight is 1, an empty bias 0."""
    index = find_index(x)
    scale, steps_per_unit = _SCALES[index], _STEPS_PER_UNIT[index]
    upper, lower = np.int64(0), np.int64(0)
    for i in range(len(x)):
        steps = x[i] * steps_per_unit
        high = split_high(steps)
        upper += np.int32(high)
        lower += np.int32(round_whole(steps - high))
    share = np.float32(1.0 / len(x))
    mean = (np.float32(upper) + np.float32(lower)) * share
    variance = max(sum_squares(x, steps_per_unit) * share - mean * mean, _ZERO)
    root = rsqrt(variance * scale * scale + epsilon)
    mean *= scale
    for i in range(len(x)):
        result[i] = (x[i] - mean) * root
    if len(weight):
        for i in range(len(x)):
            result[i] *= weight[i]
    if len(bias):
        for i in range(len(x)):
            result[i] += bias[i]


@compiled
def choose_scale(x: Floats) -> tuple[np.float32, np.float32]:
    """Of a key or value, on the cache's grid: the scale, and the steps to a unit."""
    index = min(int(find_magnitude(x) >> _CACHE_SHIFT), len(_CACHE_SCALES) - 1)
    return _CACHE_SCALES[index], _CACHE_STEPS[index]


@compiled
def rotate_head(x: Floats, cosines: Floats, sines: Floats) -> None:
    """Turn pairs (i, i + half) in place."""
    half = len(cosines)
    for i in range(half):
        first, second = x[i], x[half + i]
        x[i] = first * cosines[i] - second * sines[i]
        x[half + i] = second * cosines[i] + first * sines[i]
