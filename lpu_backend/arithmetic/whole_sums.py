"""Sums of whole numbers that floats hold exactly, so that no library's order of adding changes a bit."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import rsqrt
from lpu_backend.arithmetic.planes import Planes, sum_squares

Floats = NDArray[np.float32]
_DIGIT_BITS = 7
_DIGITS = 3


def find_moments(planes: Planes, epsilon: float) -> tuple[Floats, Floats]:
    """Mean, and one over the deviation, both [tokens, 1]: docs/numerics.md, "LayerNorm"."""
    share = np.float32(1.0 / planes.planes.shape[-1])
    high, low = (planes.planes[..., plane, :].sum(axis=-1, keepdims=True, dtype=np.float64) for plane in (0, 1))
    steps = (high.astype(np.float32) + low.astype(np.float32)) * share
    variance = np.maximum(sum_squares(planes) * share - steps * steps, np.float32(0.0))
    root = rsqrt(variance * planes.scale * planes.scale + np.float32(epsilon))
    return steps * planes.scale, root


def sum_counts(counts: NDArray[np.int32]) -> Floats:
    """Of the last axis, which becomes 1 long, rounded to fp32 once."""
    total: Floats = counts.sum(axis=-1, keepdims=True, dtype=np.int64).astype(np.float32)
    return total


def sum_by_digits(counts: NDArray[np.int32], values: Floats) -> Floats:
    """Values by counts, summed over tokens: a whole sum for each digit of the counts, joined in fp32."""
    total: Floats | None = None
    for place in reversed(range(_DIGITS)):
        digit = (counts >> (_DIGIT_BITS * place)) & ((1 << _DIGIT_BITS) - 1)
        sums = np.matmul(digit.astype(np.float32), values)  # below 2^24 for up to 1,040 tokens: exact
        total = sums if total is None else total * np.float32(128.0) + sums
    assert total is not None  # noqa: S101  there are three digits
    return total
