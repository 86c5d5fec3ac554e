"""Exp, TanH and RSqrt of arithmetic/functions.py, and what is made of them: the same steps, one number at a time."""

import math

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic import functions
from lpu_backend.arithmetic.gelu import GELU_COEFFICIENTS, GELU_LARGEST_SQUARE
from lpu_backend.runtime.kernel_ops import ELEMENTS_TOGETHER, GELU_TANH_GATE, SILU_GATE, Whole
from lpu_backend.runtime.kernels.jit import compiled
from lpu_backend.runtime.kernels.machine_code import (
    bits_to_float32,
    bits_to_float64,
    float32_to_bits,
    float64_to_bits,
)

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

_STEPS_PER_UNIT = float(functions.STEPS_PER_UNIT)
_STEP_HIGH, _STEP_LOW = float(functions.STEP_HIGH), float(functions.STEP_LOW)
_FIFTH, _FOURTH, _THIRD, _SECOND, _FIRST = (float(term) for term in functions.EXP_TERMS)
_POWER_BITS, _POWER_TAILS = functions.POWER_BITS, functions.POWER_TAILS
_INDEX_MASK, _STEP_SHIFT = int(functions.INDEX_MASK), int(functions.STEP_SHIFT)
_ROUND = 1.5 * 2.0**52
"""Added and taken away again, it leaves the nearest whole number, ties to even; its low bits are that number."""
_ROUND_BITS = int(np.array(_ROUND).view(np.int64))
_SIGN = np.int32(-(2**31))
_ONE, _HALF = np.float32(1.0), np.float32(0.5)
_GELU_CUBE, _GELU_ROOT = np.float32(0.044715), np.float32(math.sqrt(2 / math.pi))
_SWIGLU_LIMIT, _SWIGLU_HALF_ALPHA = np.float32(7.0), np.float32(1.702 / 2)
_GELU_A, _GELU_B, _GELU_C = (np.float32(value) for value in GELU_COEFFICIENTS)
_GELU_SQUARE = np.float32(GELU_LARGEST_SQUARE)


@compiled
def exp(x: np.float32) -> np.float32:
    """Of at most 88."""
    wide = max(np.float64(x), -200.0)
    rounded = wide * _STEPS_PER_UNIT + _ROUND
    steps = rounded - _ROUND
    count = float64_to_bits(rounded) - _ROUND_BITS
    low = (wide - steps * _STEP_HIGH) - steps * _STEP_LOW
    rest = low * _FIFTH
    rest = (rest + _FOURTH) * low
    rest = (rest + _THIRD) * low
    rest = (rest + _SECOND) * low
    rest = (rest + _FIRST) * low
    rest += _POWER_TAILS[count & _INDEX_MASK]
    power = bits_to_float64((count << _STEP_SHIFT) + _POWER_BITS[count & _INDEX_MASK])
    return np.float32(rest * power + power)


@compiled
def rsqrt(x: np.float32) -> np.float32:
    """Of what is above zero."""
    return np.float32(1.0 / math.sqrt(np.float64(x)))


@compiled
def exp_all(x: Floats, coarse: np.float32, wide: Wide, bits: Whole) -> None:
    """exp(x - coarse) in place: as `exp`, in loops each of which a CPU's vectors can do, but for the tables'."""
    for start in range(0, len(x), ELEMENTS_TOGETHER):
        part = x[start : min(start + ELEMENTS_TOGETHER, len(x))]
        for i in range(len(part)):
            wide[i] = max(np.float64(part[i] - coarse), -200.0)
        _split_exp(wide[: len(part)], bits)
        for i in range(len(part)):
            power = bits_to_float64(bits[i])
            part[i] = np.float32(wide[i] * power + power)


@compiled
def tanh_all(x: Floats, result: Floats, wide: Wide, bits: Whole) -> None:
    """As `tanh`, and as `exp_all`; the result may be x itself."""
    for start in range(0, len(x), ELEMENTS_TOGETHER):
        end = min(start + ELEMENTS_TOGETHER, len(x))
        part, tangents = x[start:end], result[start:end]
        for i in range(len(part)):
            magnitude = min(abs(np.float64(part[i])), 20.0)
            wide[i] = magnitude + magnitude
        _split_exp(wide[: len(part)], bits)
        for i in range(len(part)):
            power = bits_to_float64(bits[i])
            rest = wide[i] * power + (power - 1.0)
            tangent = float32_to_bits(np.float32(rest / (rest + 2.0)))
            tangents[i] = bits_to_float32(np.int32(tangent | (float32_to_bits(part[i]) & _SIGN)))


@compiled
def _split_exp(wide: Wide, bits: Whole) -> None:
    """e to the x is power (1 + rest): x becomes rest, and `bits` those of power."""
    for i in range(len(wide)):
        rounded = wide[i] * _STEPS_PER_UNIT + _ROUND
        steps = rounded - _ROUND
        low = (wide[i] - steps * _STEP_HIGH) - steps * _STEP_LOW
        rest = low * _FIFTH
        rest = (rest + _FOURTH) * low
        rest = (rest + _THIRD) * low
        rest = (rest + _SECOND) * low
        wide[i] = (rest + _FIRST) * low
        bits[i] = float64_to_bits(rounded) - _ROUND_BITS
    for i in range(len(wide)):
        count = bits[i]
        wide[i] += _POWER_TAILS[count & _INDEX_MASK]
        bits[i] = (count << _STEP_SHIFT) + _POWER_BITS[count & _INDEX_MASK]


@compiled
def apply_gate(kind: int, gate: Floats, up: Floats, result: Floats, wide: Wide, bits: Whole) -> None:
    """activation(gate) * up of one row; for silu `gate` is half the gate."""
    if kind == SILU_GATE:
        tanh_all(gate, result, wide, bits)
        for i in range(len(result)):
            result[i] = (result[i] + _ONE) * gate[i] * up[i]
    elif kind == GELU_TANH_GATE:
        for i in range(len(result)):
            result[i] = (gate[i] * gate[i] * gate[i] * _GELU_CUBE + gate[i]) * _GELU_ROOT
        tanh_all(result, result, wide, bits)
        for i in range(len(result)):
            result[i] = (result[i] + _ONE) * (gate[i] * _HALF) * up[i]
    else:
        for i in range(len(result)):
            result[i] = min(gate[i], _SWIGLU_LIMIT) * _SWIGLU_HALF_ALPHA
        tanh_all(result, result, wide, bits)
        for i in range(len(result)):
            linear = max(min(up[i], _SWIGLU_LIMIT), -_SWIGLU_LIMIT) + _ONE
            result[i] = (result[i] + _ONE) * (min(gate[i], _SWIGLU_LIMIT) * _HALF) * linear


@compiled
def gelu(x: Floats, result: Floats, wide: Wide, bits: Whole) -> None:
    """Of each element of a row, not in place."""
    for i in range(len(result)):
        square = min(x[i] * x[i], _GELU_SQUARE)
        result[i] = ((square * _GELU_C + _GELU_B) * square + _GELU_A) * x[i]
    tanh_all(result, result, wide, bits)
    for i in range(len(result)):
        result[i] = (result[i] + _ONE) * (x[i] * _HALF)


@compiled
def cap_softly(x: Floats, inverse: np.float32, cap: np.float32, result: Floats, wide: Wide, bits: Whole) -> None:
    """TanH(x * inverse) * cap; the result may be x itself."""
    for i in range(len(result)):
        result[i] = x[i] * inverse
    tanh_all(result, result, wide, bits)
    for i in range(len(result)):
        result[i] *= cap
