"""Reference for fp16 products: sums of Python integers, rounded once. Independent of lpu_backend/arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FP16_FRACTION_BITS = 24
"""Every finite fp16 is a multiple of 2 ** -24, so a product of two is one of 2 ** -48."""
_FP32_SIGNIFICANT_BITS = 24


def multiply_exactly(weights: NDArray[np.float16], x: NDArray[np.float16]) -> NDArray[np.float32]:
    """Weights [n, k] times x [k] as fp32[n]: each exact sum rounded to nearest even. All values must be finite."""
    sums = _scale(weights) @ _scale(x)
    return np.array([round_to_fp32(total, -2 * _FP16_FRACTION_BITS) for total in sums], np.float32)


def round_to_fp32(integer: int, exponent: int) -> np.float32:
    """integer x 2 ** exponent to nearest, ties to even, for what is zero or within fp32's normal range."""
    magnitude = abs(integer)
    surplus_bits = max(magnitude.bit_length() - _FP32_SIGNIFICANT_BITS, 0)
    kept, rest = magnitude >> surplus_bits, magnitude & ((1 << surplus_bits) - 1)
    half = (1 << surplus_bits) >> 1
    if surplus_bits and (rest > half or (rest == half and kept & 1)):
        kept += 1
    return np.float32(np.ldexp(float(kept if integer >= 0 else -kept), exponent + surplus_bits))


def _scale(values: NDArray[np.float16]) -> NDArray[Any]:
    """Multiples of 2 ** -24, as an array of Python integers."""
    multiples: NDArray[np.int64] = (values.astype(np.float64) * 2**_FP16_FRACTION_BITS).astype(np.int64)
    return multiples.astype(object)
