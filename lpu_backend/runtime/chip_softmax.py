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
    """exp(score - a coarse largest) over the last axis: one byte says it, so all lanes can know it."""
    return _exponentiate_from(np.maximum.reduce(scores, axis=-1, keepdims=True), scores)[0]


def share(scores: Floats, steps: Floats, sinks: Floats | None) -> tuple[Floats, Floats]:
    """Exponentials, and one over their sum and that of the sinks [..., 1], scores of one more."""
    largest = np.maximum.reduce(scores, axis=-1, keepdims=True)
    if sinks is None:
        shares = _exponentiate_from(largest, scores)[0]
        return shares, find_divisor(shares, steps)
    shares, sunk = _exponentiate_from(np.maximum(largest, sinks), scores, sinks)
    return shares, find_divisor(shares, steps, sunk)


def _exponentiate_from(coarse: Floats, *scores: Floats) -> list[Floats]:
    """Of several arrays, with the row's largest score for all of them. Alters `coarse`."""
    coarse *= _QUARTER
    np.rint(coarse, out=coarse)
    np.maximum(coarse, _LEAST_COARSE, out=coarse)
    np.minimum(coarse, _MOST_COARSE, out=coarse)
    coarse *= _FOUR
    return [exp_in_range(each - coarse) for each in scores]


def find_divisor(shares: Floats, steps: Floats, others: Floats | None = None) -> Floats:
    """One over the sum of exponentials, and of one other in each row, [..., 1]."""
    divisor = rsqrt_in_range(sum_counts(shares, steps, others))
    divisor *= divisor
    divisor *= steps
    return divisor


def weigh_experts(scores: Floats, chosen: NDArray[np.bool_], *, renormalise: bool) -> Floats:
    """Weights [tokens, experts], 0 where not chosen."""
    shares = exponentiate(scores)
    kept = np.where(chosen, shares, np.float32(0.0))
    kept *= find_divisor(kept if renormalise else shares, _EXPERT_STEPS)
    return kept
