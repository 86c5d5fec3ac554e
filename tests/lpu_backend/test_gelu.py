"""GELU through TanH, against the normal distribution's integral in float64."""

import math

import numpy as np

from lpu_backend.arithmetic.gelu import gelu


def test_gelu_is_as_close_everywhere_as_it_says() -> None:
    x = np.linspace(-40.0, 40.0, 200_001).astype(np.float32)
    exact = np.array([0.5 * each * (1.0 + math.erf(each / math.sqrt(2.0))) for each in x.tolist()])
    assert np.abs(gelu(x) - exact).max() < 2.6e-5
