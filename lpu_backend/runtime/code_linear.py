"""Serving's numerics: those of the chip, with weights that stay int8."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.planes import Planes, are_sums_exact, multiply_codes, quantise_rows
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.numerics import Floats, Linear

_OUTPUTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class CodeLinear:
    """As ChipLinear: codes [outputs, inputs], scales and bias [outputs].

    Called, it widens the codes every time: that is for as long as kernels are being compiled.
    """

    codes: NDArray[np.int8]
    scales: Floats
    bias: Floats | None

    def __call__(self, rows: Planes) -> Floats:
        planes = rows.planes.astype(np.float64)
        bounds = [*range(0, len(self.codes), _OUTPUTS_AT_ONCE), len(self.codes)]
        parts = [multiply_codes(planes, self.codes[start:end]) for start, end in pairwise(bounds)]
        outputs = np.concatenate(parts, axis=-1)
        outputs *= self.scales
        outputs *= rows.scale
        if self.bias is not None:
            outputs += self.bias
        return outputs

    @property
    def is_wide(self) -> bool:
        """Whether the sum of one plane may pass what fp32 holds, so that both are rounded before they are added."""
        return not are_sums_exact(self.codes)


class ServingNumerics(ChipNumerics):
    """ChipNumerics, a quarter of its memory, made for kernels."""

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        codes, scales = quantise_rows(weight)
        return CodeLinear(codes.astype(np.int8), scales, bias)
