"""TanH, Exp, RSqrt, cosine and sine: fixed sequences of IEEE 754 operations, so that no host's library has a say.

Each works in float64, with additions, multiplications, divisions and square roots, which IEEE 754 rounds correctly,
and rounds once to fp32 at the end, into subnormals too. No step may be fused with another; numpy fuses none.
Compared with 64-bit significands on every fp32 argument whose result is not plain, all three are correctly rounded.
That is assumed of the chip: nothing is published on how it computes these functions, or how well. Cosine and sine are
no instructions of it; they fill tables, which are loaded as weights are.
"""

from collections.abc import Callable
from math import factorial, isqrt

import numpy as np
from numpy.typing import NDArray

_STEPS_BITS = 7
_STEPS = 1 << _STEPS_BITS
"""Exponents are split at multiples of ln(2) / 128."""
# Constants are arrays of one number, which numpy takes faster than numbers.
STEPS_PER_UNIT = np.array(float.fromhex("0x1.71547652b82fep+7"))
STEP_HIGH = np.array(float.fromhex("0x1.62e42fefa0000p-8"))
"""ln(2) / 128 to 37 bits: its products with fewer than 2^16 steps are exact."""
STEP_LOW = np.array(float.fromhex("0x1.cf79abc9e3b3ap-47"))
_LAST_TERM, *_TERMS = EXP_TERMS = tuple(np.array(1 / count) for count in (120, 24, 6, 2, 1))
INDEX_MASK = np.array(_STEPS - 1)
STEP_SHIFT = np.array(52 - _STEPS_BITS)
"""From a number of steps to the exponent of a float64."""
_EXP_BOUND = np.float32(200.0)
_LEAST_EXPONENT = np.array(-200.0)
_MOST_TANH = np.array(20.0)
_PIECE_ELEMENTS = 1 << 14
_ONE, _TWO = np.array(1.0), np.array(2.0)
_QUARTERS_PER_UNIT = float.fromhex("0x1.45f306dc9c883p-1")
_QUARTER_HIGH = float.fromhex("0x1.921fb54400000p+0")
"""pi / 2 to 33 bits: its products with fewer than 2^20 quarter turns are exact."""
_QUARTER_LOW = float.fromhex("0x1.0b4611a626331p-34")
_SINE = [(1 - k % 2 * 2) / factorial(2 * k + 1) for k in range(9)]
_COSINE = [(1 - k % 2 * 2) / factorial(2 * k) for k in range(9)]
"""Taylor's series: within an eighth of a turn either side, the next term is below 2^-52."""


def exp(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """e to the x, any shape. exp(-inf) is +0, exp(inf) and what is past fp32 are inf, NaN stays NaN."""
    with np.errstate(all="ignore"):
        return exp_in_range(np.minimum(x, _EXP_BOUND))


def tanh(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hyperbolic tangent, any shape, as (e - 1) / (e + 1) with e of 2 |x|. tanh(-0) is -0, tanh(inf) 1."""
    with np.errstate(all="ignore"):
        return tanh_in_range(x)


def rsqrt(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / sqrt(x), any shape. rsqrt(+0) is inf, rsqrt(-0) -inf, rsqrt(inf) +0; below zero it is NaN."""
    with np.errstate(all="ignore"):
        return rsqrt_in_range(x)


# The same without silencing warnings, which takes as long as some operations, for arguments that give none.


def exp_in_range(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """`exp` of what is at most 88."""
    return _apply_in_pieces(_exp_piece, x)


def tanh_in_range(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """`tanh` of numbers."""
    return _apply_in_pieces(_tanh_piece, x)


def _apply_in_pieces(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Elements by elements, as many at once as stay in a CPU's cache through all steps."""
    if x.size <= _PIECE_ELEMENTS:
        return function(x)
    flat = x.ravel()
    results = np.empty_like(flat)
    for start in range(0, len(flat), _PIECE_ELEMENTS):
        piece = slice(start, start + _PIECE_ELEMENTS)
        results[piece] = function(flat[piece])
    return results.reshape(x.shape)


def _exp_piece(x: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = x.astype(np.float64)
    power, rest = _split_exp(np.maximum(wide, _LEAST_EXPONENT, out=wide))
    rest *= power
    rest += power
    return rest.astype(np.float32)


def _tanh_piece(x: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = np.abs(x).astype(np.float64)
    np.minimum(wide, _MOST_TANH, out=wide)
    wide += wide
    power, rest = _split_exp(wide)
    rest *= power
    power -= _ONE
    rest += power  # e - 1: where x is small, power is 1 and nothing cancels
    np.add(rest, _TWO, out=power)
    rest /= power
    tangent = rest.astype(np.float32)
    np.copysign(tangent, x, out=tangent)
    return tangent


def rsqrt_in_range(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rsqrt` of what is above zero."""
    root = x.astype(np.float64)
    np.sqrt(root, out=root)
    np.divide(_ONE, root, out=root)
    return root.astype(np.float32)


def cos_sin(angles: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosine and sine of angles in radians, any shape, magnitudes up to 10^6."""
    wide = angles.astype(np.float64)
    quarters = np.rint(wide * _QUARTERS_PER_UNIT)
    rest = (wide - quarters * _QUARTER_HIGH) - quarters * _QUARTER_LOW
    square = rest * rest
    cosine, sine = _sum_series(_COSINE, square), rest * _sum_series(_SINE, square)
    quadrant = quarters.astype(np.int64) & 3
    is_odd = (quadrant & 1) == 1
    even, odd = np.where(is_odd, sine, cosine), np.where(is_odd, cosine, sine)
    even[(quadrant == 1) | (quadrant == 2)] *= -1.0
    odd[quadrant >= 2] *= -1.0
    return even.astype(np.float32), odd.astype(np.float32)


def _sum_series(coefficients: list[float], x: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= x
        total += coefficient
    return total


def _split_exp(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(power, rest) with e to the x = power (1 + rest): power is 2^(n/128), |rest| below 0.0028. |x| up to 200."""
    steps = x * STEPS_PER_UNIT
    np.rint(steps, out=steps)
    count = steps.astype(np.int64)
    low = x - steps * STEP_HIGH
    steps *= STEP_LOW
    low -= steps
    rest = low * _LAST_TERM  # the series of e^low - 1, whose next term is below 2^-52 of the sum
    for coefficient in _TERMS:
        rest += coefficient
        rest *= low
    index = count & INDEX_MASK
    rest += POWER_TAILS[index]
    count <<= STEP_SHIFT
    count += POWER_BITS[index]
    return count.view(np.float64), rest


def _take_root(j: int) -> int:
    """2^(j/128) in units of 2^-127, by integer square roots."""
    root = 1 << (j + 127 * _STEPS)
    for _ in range(_STEPS_BITS):
        root = isqrt(root)
    return root


_ROOTS = [_take_root(j) for j in range(_STEPS)]
_POWERS = np.array([float(root) * 2.0**-127 for root in _ROOTS])
POWER_BITS = _POWERS.view(np.int64) - (np.arange(_STEPS) << STEP_SHIFT)
"""The bits of 2^(j/128), less those that j itself brings when n is shifted into the exponent."""
POWER_TAILS = np.array([(root - int(float(root))) / root for root in _ROOTS])
"""What 2^(j/128) lost in rounding, as a part of it."""
