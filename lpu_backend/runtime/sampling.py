"""Choosing a token from logits, reproducibly: the draw is a function of seed and position alone.

Weights are fp32 numbers, added up in float64 in order of their ids or ranks, so no host adds them otherwise.
"""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import exp_in_range
from lpu_backend.runtime.kernel_loading import get_kernels
from lpu_backend.types import SamplingParams

SEED_MASK = 2**64 - 1
Logits = NDArray[np.float32] | NDArray[np.float64]


def sample_token(
    logits: Logits, params: SamplingParams, position: int, allowed: NDArray[np.bool_] | None = None
) -> int:
    """One token id from logits of shape [vocabulary], after bias and penalties (see logit_rules).

    Of what is `allowed` (all if None; at least one), temperature, then top_k, top_p and min_p narrow the choice, each
    what the one before left. `position` is the token's place in the whole sequence.
    """
    if allowed is None:
        return _sample(logits, params, position)
    # As if the others had a logit of -inf, and in a fraction of the time: their weights would be zero in every sum.
    ids = np.flatnonzero(allowed)
    return int(ids[_sample(logits[ids], params, position)])


def _sample(logits: Logits, params: SamplingParams, position: int) -> int:
    if params.temperature == 0.0:
        return int(np.argmax(logits))
    weights = _weigh(logits.astype(np.float64), params.temperature)
    draw = draw_uniform(params.seed, position)
    if params.top_k == 0 and params.top_p == 1.0 and params.min_p == 0.0:
        return _pick(weights, draw)
    kept = _list_kept(weights, params)
    return int(kept[_pick(weights[kept], draw)])


def _weigh(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """exp((logit - the largest) / temperature), the quotient and the result rounded to fp32."""
    if kernels := get_kernels():
        weights = np.empty_like(logits)
        kernels.weigh(logits, temperature, weights)
        return weights
    exponents = logits - logits.max()
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to -inf, as it should
        exponents /= temperature
        return exp_in_range(exponents.astype(np.float32)).astype(np.float64)


def draw_uniform(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits: the first of Philox-4x64, keyed by seed, counting from position."""
    generator = np.random.Philox(key=seed & SEED_MASK, counter=[0, position, 0, 0])
    return int(generator.random_raw() >> 11) * 2.0**-53


def _list_kept(weights: NDArray[np.float64], params: SamplingParams) -> NDArray[np.intp]:
    """Ids that may be drawn: by rank, or by id where min_p alone narrows them."""
    kept = list_largest(weights, params.top_k) if params.top_k else np.arange(len(weights))
    if params.top_p < 1.0:
        kept = kept[_list_nucleus(weights[kept], params.top_p)]
    if params.min_p > 0.0:
        left = weights[kept]
        kept = kept[left >= params.min_p * left.max()]
    return kept


def list_largest(values: Logits, count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest values, or of all if they are fewer: largest first, lower ones first on a tie."""
    count = min(count, len(values))
    if count == 0:
        return np.empty(0, dtype=np.intp)
    least = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero(values >= least)
    return candidates[np.argsort(-values[candidates], kind="stable")][:count]


def _list_nucleus(weights: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Ids of the smallest set of most likely tokens that reaches top_p, likeliest first, lower ids first on a tie."""
    total = float(np.cumsum(weights)[-1])
    # All tokens below this bound weigh less than 1 - top_p together, so none is in the nucleus: fewer to sort. The
    # bound is halved to stay clear of rounding.
    bound = 0.5 * (1.0 - top_p) * total / len(weights)
    candidates = np.flatnonzero(weights >= min(bound, float(weights.max())))
    ranked = candidates[np.argsort(-weights[candidates], kind="stable")]
    reached = np.cumsum(weights[ranked])
    return ranked[: int(np.searchsorted(reached, top_p * total)) + 1]


def _pick(weights: NDArray[np.float64], draw: float) -> int:
    """Index at which the running sum, taken in order, first exceeds draw x total."""
    if kernels := get_kernels():
        return int(kernels.pick(weights, draw))
    running = np.cumsum(weights)
    return min(int(np.searchsorted(running, draw * running[-1], side="right")), len(weights) - 1)
