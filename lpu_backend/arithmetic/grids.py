"""Grids: the scale of a row of numbers from one byte, its code, so that lanes agree on it by passing one byte around.

docs/numerics.md defines them. The code is a few leading bits of the row's largest magnitude, the scale is just above
that magnitude, and its reciprocal is RSqrt squared: no division. All scales fit a table, which is made once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import rsqrt

Floats = NDArray[np.float32]

CODE_LIMIT = 127
"""Largest magnitude of a weight's code, of a key's or value's, and of a plane."""
_FP32_INFINITY_BITS = 0x7F800000


class Scales(NamedTuple):
    """Of rows: what one step is worth, and how many steps there are to a unit. Both of one shape."""

    scale: Floats
    steps_per_unit: Floats


class Grid:
    """The scale of each code, and of each magnitude through its code."""

    def __init__(self, *, dropped_bits: int, least_code: int, steps: int) -> None:
        """Of a magnitude's fp32 bits the lowest `dropped_bits` do not count; `least_code` are the rest at code 0.

        The number just above the magnitude is `steps` steps.
        """
        self.shift = np.array(dropped_bits, np.int32)
        shifted = np.arange(_FP32_INFINITY_BITS >> dropped_bits, dtype=np.int32)
        above = (np.maximum(shifted, np.int32(least_code)) + np.int32(1)) << self.shift
        self.scales = above.view(np.float32) * np.float32(1.0 / steps)
        roots = rsqrt(self.scales)
        self.steps_per_unit = roots * roots

    def choose(self, magnitudes: Floats) -> Scales:
        """Of rows' largest magnitudes. What lies above the chip's 256 codes gets a scale of the same rule here."""
        index = magnitudes.view(np.int32) >> self.shift
        return Scales(self.scales.take(index, mode="clip"), self.steps_per_unit.take(index, mode="clip"))


ACTIVATIONS = Grid(dropped_bits=21, least_code=348, steps=128 * CODE_LIMIT)
"""Quarters of an octave from 2^-40 to 2^24, 16,256 steps."""
CACHE = Grid(dropped_bits=20, least_code=856, steps=CODE_LIMIT)
"""Eighths of an octave from 2^-20 to 2^12, 127 steps."""


def find_magnitudes(x: Floats) -> Floats:
    """The largest |x| of vectors [..., width], as [..., 1]."""
    magnitudes: Floats = np.maximum.reduce(np.abs(x), axis=-1, keepdims=True)
    return magnitudes
