"""Weights of tokens and the draw from them, as `runtime/sampling.py` has them: the same steps, one number at a time."""

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from lpu_backend.runtime.kernels.functions import exp
from lpu_backend.runtime.kernels.jit import compiled_and_kept, digest_sources

Wide = NDArray[np.float64]
_WIDE = types.Array(types.float64, 1, "C")


def _make_weigh(sources: int) -> Any:
    @compiled_and_kept(types.void(_WIDE, types.float64, _WIDE))
    def weigh(logits: Wide, temperature: float, weights: Wide) -> None:
        """exp((logit - the largest) / temperature), the quotient and the result rounded to fp32."""
        largest = logits[0] if sources else 0.0
        for i in range(1, len(logits)):
            largest = max(largest, logits[i])
        for i in range(len(logits)):
            weights[i] = np.float64(exp(np.float32((logits[i] - largest) / temperature)))

    return weigh


def _make_pick(sources: int) -> Any:
    @compiled_and_kept(types.int64(_WIDE, types.float64))
    def pick(weights: Wide, draw: float) -> int:
        """Index at which the running sum, taken in order, first exceeds draw x total."""
        total = 0.0 if sources else 1.0
        for i in range(len(weights)):
            total += weights[i]
        aim, running = draw * total, 0.0
        for i in range(len(weights) - 1):
            running += weights[i]
            if running > aim:
                return i
        return len(weights) - 1

    return pick


weigh, pick = _make_weigh(digest_sources()), _make_pick(digest_sources())
