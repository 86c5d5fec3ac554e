"""Exponentials and their sum as the chip has them: docs/numerics.md, "Exponentials", "Their sum", "Experts"."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import exp_in_range, rsqrt_in_range
from lpu_backend.arithmetic.planes import sum_counts
from lpu_backend.runtime.numerics import Floats

_MOST_COUNT_BITS = 18
_SUM_BITS = 28
"""Exponentials are below 8: so many bits of a sum of counts are left to context and steps."""
_QUARTER, _FOUR = np.array(0.25, np.float32), np.array(4.0, np.float32)
_LEAST_COARSE, _MOST_COARSE = np.array(-128.0, np.float32), np.array(127.0, np.float32)
_EXPERT_STEPS = np.array(2.0**_MOST_COUNT_BITS, np.float32)


def choose_steps(context_window_tokens: int) -> Floats:
    """The steps in which exponentials are counted: so fine that a full context's sum still fits int32."""
    bits = min(_MOST_COUNT_BITS, _SUM_BITS - context_window_tokens.bit_length())
    return np.array(2.0**bits, np.float32)


def exponentiate(scores: Floats) -> Floats:
    """exp(score - a coarse largest) over the last axis: one byte says it, so all lanes can know it. Alters scores."""
    coarse = np.maximum.reduce(scores, axis=-1, keepdims=True)
    coarse *= _QUARTER
    np.rint(coarse, out=coarse)
    np.maximum(coarse, _LEAST_COARSE, out=coarse)
    np.minimum(coarse, _MOST_COARSE, out=coarse)
    coarse *= _FOUR
    scores -= coarse
    return exp_in_range(scores)


def find_divisor(shares: Floats, steps: Floats) -> Floats:
    """One over the sum of exponentials, [..., 1]."""
    divisor = rsqrt_in_range(sum_counts(shares, steps))
    divisor *= divisor
    divisor *= steps
    return divisor


def weigh_experts(scores: Floats, chosen: NDArray[np.bool_], *, renormalise: bool) -> Floats:
    """Weights [tokens, experts], 0 where not chosen. Alters scores."""
    shares = exponentiate(scores)
    kept = np.where(chosen, shares, np.float32(0.0))
    kept *= find_divisor(kept if renormalise else shares, _EXPERT_STEPS)
    return kept
