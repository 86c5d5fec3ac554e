"""Log-probabilities of tokens: the natural logarithm of the softmax of raw logits, the same bits on any host.

An exponential is rounded to fp32, 2^-25 of itself, and they are added up in float64 in order of their ids; the
logarithm of the sum is within 2^-51 of itself. So a log-probability is within 1e-7 of the real number.
"""

from math import frexp

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import exp_in_range
from lpu_backend.runtime.sampling import list_largest

_LN2_HIGH = float.fromhex("0x1.62e42fefa0000p-1")
"""ln(2) to 41 bits: its products with an exponent are exact."""
_LN2_LOW = float.fromhex("0x1.cf79abc9e3b3ap-40")
_ROOT_HALF = 0.7071067811865476
_COEFFICIENTS = tuple(1.0 / (2 * k + 1) for k in range(12))
"""Of the series of atanh(t) / t in t^2: t is at most 0.1716, and the next term below 2^-60."""


def natural_log(x: float) -> float:
    """ln(x) of a positive finite number, in additions, multiplications and divisions that IEEE 754 rounds."""
    fraction, exponent = frexp(x)
    if fraction < _ROOT_HALF:
        fraction, exponent = fraction + fraction, exponent - 1
    t = (fraction - 1.0) / (fraction + 1.0)
    square, total = t * t, 0.0
    for coefficient in reversed(_COEFFICIENTS):
        total = total * square + coefficient
    return exponent * _LN2_HIGH + (exponent * _LN2_LOW + 2.0 * t * total)


class Logprobs:
    """Of one token's logits [vocabulary], at temperature 1, before anything changes or narrows them."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self._logits = logits
        self._shifted = logits.astype(np.float64)
        self._shifted -= self._shifted.max()
        self._log_total = natural_log(float(np.cumsum(exp_in_range(self._shifted.astype(np.float32)), dtype=float)[-1]))

    def of(self, token_id: int) -> float:
        """The natural logarithm of a token's probability."""
        return float(self._shifted[token_id]) - self._log_total

    def list_likeliest(self, count: int) -> list[int]:
        """Ids, likeliest first, lower ones first on a tie."""
        return [int(token_id) for token_id in list_largest(self._logits, count)]
