"""The MXM's products of a vector and an array of weights: exact, so that no order of additions can be seen.

TSP IV-D gives int8 with int32 sums, and fp16 with fp32 results and a single rounding at the end.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLOAT32_EXACT_WIDTH = 2**24 // 128**2
"""Widest int8 product whose sums, at most 128 x 128 a term, are all integers that float32 holds."""
_UNIT_EXPONENT = 24
"""Every finite fp16 is a multiple of 2^-24, below 2^40 of them; a product is a multiple of 2^-48."""
_EXACT_SUM = 2.0 ** (52 - 2 * _UNIT_EXPONENT)
"""Sums below this times the steps of both factors, in units, are exact in float64, with a bit to spare."""
_LIMB_BITS = 20
_LIMB_MASK = (1 << _LIMB_BITS) - 1
_STICKY_BITS = 2 * _LIMB_BITS - 4
_EXACT_TERMS_AT_ONCE = 1 << 18
_MAX_FP16_WIDTH = 1 << 19


class Int8Weights:
    """int8 weights of n outputs and k inputs, ready for products in int32, which wrap."""

    def __init__(self, rows: NDArray[np.int8]) -> None:
        """`rows` is [n, k]: row n holds the weights of output n."""
        is_narrow = rows.shape[1] <= _FLOAT32_EXACT_WIDTH
        self._columns: NDArray[Any] = rows.astype(np.float32 if is_narrow else np.float64).T

    def multiply(self, x: NDArray[np.int8]) -> NDArray[np.int32]:
        """[..., k] to [..., n]. Exact: every partial sum is an integer that the float type holds."""
        sums: NDArray[Any] = x.astype(self._columns.dtype) @ self._columns
        return sums.astype(np.int32) if sums.dtype == np.float32 else sums.astype(np.int64).astype(np.int32)


class Fp16Weights:
    """fp16 weights of n outputs and k inputs, ready for fp32 products: the exact sum, rounded once to nearest even.

    A sum that is zero is +0. An infinity or a NaN counts as in IEEE 754 (inf x 0 and inf - inf are NaN) and leaves
    the other outputs exact; a NaN is always the bits 0x7fc00000.
    """

    def __init__(self, rows: NDArray[np.float16]) -> None:
        """`rows` is [n, k], k up to 2^19: row n holds the weights of output n. ValueError if k is more."""
        width = rows.shape[1]
        if width > _MAX_FP16_WIDTH:
            raise ValueError(f"{width} inputs; exact sums take at most {_MAX_FP16_WIDTH}")
        self._rows = rows.astype(np.float64)
        with np.errstate(invalid="ignore"):
            norms = np.sqrt(np.vecdot(self._rows, self._rows))
            steps = _find_steps(self._rows)
        # Adding k products, exact each, in any order is off by less than k u / (1 - k u) times sum |x w|, u = 2^-53
        # (Higham, Accuracy and Stability of Numerical Algorithms, 4.2), and sum |x w| <= |x| |w|. One u more is for
        # the interval's ends, the rest for the roundings of the bound itself.
        self._error_per_norm = norms * ((width + 4) * 2.0**-53)
        # Where |x| |w| is small enough in steps that all products share, no addition rounds.
        self._exact_norm = np.divide(_EXACT_SUM * steps, norms, out=np.zeros_like(norms), where=norms > 0)

    def multiply(self, x: NDArray[np.float16]) -> NDArray[np.float32]:
        """[..., k] to [..., n].

        The float64 sum and its error bound settle most outputs: where both ends of the interval round to the same
        fp32, so does the exact sum between them. Most of the others are ties, whose float64 sum is exact. What is
        then left is summed in integers.
        """
        wide = x.astype(np.float64)
        with np.errstate(all="ignore"):
            norms = np.sqrt(np.vecdot(wide, wide))[..., None]
            sums = wide @ self._rows.T
            error = norms * self._error_per_norm
            least = (sums - error).astype(np.float32)
            most: NDArray[np.float32] = (sums + error).astype(np.float32)
            unsettled = least != most
            if np.count_nonzero(unsettled):
                is_exact = norms / _find_steps(wide)[..., None] < self._exact_norm
                np.copyto(most, sums + 0.0, where=is_exact, casting="same_kind")
                self._settle(most, wide, unsettled & ~is_exact)
        return most

    def _settle(self, results: NDArray[np.float32], x: NDArray[np.float64], unsettled: NDArray[np.bool_]) -> None:
        if not np.count_nonzero(unsettled):
            return
        *batch, outputs = np.nonzero(unsettled)
        settled = np.empty(len(outputs), np.float32)
        block = max(1, _EXACT_TERMS_AT_ONCE // x.shape[-1])
        for start in range(0, len(outputs), block):
            part = slice(start, start + block)
            settled[part] = _sum_products(x[tuple(index[part] for index in batch)], self._rows[outputs[part]])
        results[unsettled] = settled


def _find_steps(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The largest power of two, in units of 2^-24, that divides all of the last axis; 0 if they are zero."""
    bits: NDArray[np.int64] = np.bitwise_or.reduce(_count_units(values), axis=-1)
    return bits & -bits


def _sum_products(x: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Products of fp16 values, [m, k] each or [k], summed over k and rounded once."""
    sums: NDArray[np.float32] = (x * weights).sum(axis=-1).astype(np.float32)
    finite = np.isfinite(sums)
    if finite.all():
        return _round_once(*_sum_limbs(x, weights))
    sums[np.isnan(sums)] = np.float32(np.nan)
    x = np.broadcast_to(x, weights.shape)
    sums[finite] = _round_once(*_sum_limbs(x[finite], weights[finite]))
    return sums


def _sum_limbs(x: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sum as high 2^40 + low in units of 2^-48, low in 0 to 2^40 - 1."""
    (x_high, x_low), (w_high, w_low) = _split(x), _split(weights)
    low = np.vecdot(x_low, w_low)
    middle = np.vecdot(x_high, w_low) + np.vecdot(x_low, w_high) + (low >> _LIMB_BITS)
    high = np.vecdot(x_high, w_high) + (middle >> _LIMB_BITS)
    return high, ((middle & _LIMB_MASK) << _LIMB_BITS) | (low & _LIMB_MASK)


def _split(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    units = _count_units(values)
    return units >> _LIMB_BITS, units & _LIMB_MASK


def _count_units(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return (values * 2.0**_UNIT_EXPONENT).astype(np.int64)


def _round_once(high: NDArray[np.int64], low: NDArray[np.int64]) -> NDArray[np.float32]:
    """(high 2^40 + low) 2^-48 to fp32. A sum past 62 bits is first rounded to odd, which no later rounding can tell."""
    is_small = np.abs(high) < 1 << 22
    whole = np.where(is_small, high, 0) << (2 * _LIMB_BITS) | low
    sticky = (low & ((1 << _STICKY_BITS) - 1)) != 0
    odd = high << (2 * _LIMB_BITS - _STICKY_BITS) | low >> _STICKY_BITS | sticky
    scale = np.where(is_small, 2.0 ** (-2 * _UNIT_EXPONENT), 2.0 ** (_STICKY_BITS - 2 * _UNIT_EXPONENT))
    return np.where(is_small, whole, odd).astype(np.float32) * scale.astype(np.float32)
