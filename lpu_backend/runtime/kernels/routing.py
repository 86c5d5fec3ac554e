"""Which experts a token goes to, and with what weights: docs/numerics.md, "Experts"."""

import numpy as np

from lpu_backend.runtime.kernels.attention import count_shares, find_coarse, find_divisor, find_largest
from lpu_backend.runtime.kernels.functions import exp
from lpu_backend.runtime.kernels.jit import compiled
from lpu_backend.runtime.kernels.rows import Floats

_STEPS = np.float32(2.0**18)
_ZERO = np.float32(0.0)
_CHOSEN = np.float32(-np.inf)


@compiled
def route(scores: Floats, active: int, renormalise: bool, weights: Floats) -> None:
    """Weights of the router's scores of one token, 0 where not chosen. Overwrites the scores."""
    coarse = find_coarse(find_largest(scores))
    shares = weights
    for expert in range(len(scores)):
        shares[expert] = exp(scores[expert] - coarse)
    count = 0 if renormalise else count_shares(shares, _STEPS)
    for _ in range(active):
        best = 0
        for expert in range(1, len(scores)):
            if scores[expert] > scores[best]:
                best = expert
        scores[best] = _CHOSEN
        if renormalise:
            count += count_shares(shares[best : best + 1], _STEPS)
    divisor = find_divisor(count, _STEPS)
    for expert in range(len(scores)):
        weights[expert] = shares[expert] * divisor if scores[expert] == _CHOSEN else _ZERO
