"""GELU with the normal distribution's integral, through TanH: erf is no operation of the VXM.

x Phi(x) = x / 2 (1 + erf(x / sqrt 2)), and erf(x / sqrt 2) is about TanH(x (a + b x^2 + c x^4)). The coefficients were
fitted for the least largest error of the product: 2.6e-5 everywhere (a test measures it).
"""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import tanh

Floats = NDArray[np.float32]

GELU_COEFFICIENTS = (0.797507874, 0.0370056530, -0.000351517726)
"""a, b, c, each rounded to fp32."""
GELU_LARGEST_SQUARE = 36.0
"""x^2 is not taken larger: there TanH is 1 in fp32, and beyond the polynomial turns."""


def gelu(x: Floats) -> Floats:
    """Of each element, in fp32 steps of the VXM: docs/numerics.md, "Functions"."""
    first, second, third = (np.float32(value) for value in GELU_COEFFICIENTS)
    square = np.minimum(x * x, np.float32(GELU_LARGEST_SQUARE))
    inner = ((square * third + second) * square + first) * x
    weighed: Floats = (tanh(inner) + np.float32(1.0)) * (x * np.float32(0.5))
    return weighed
