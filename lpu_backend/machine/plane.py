"""One MXM plane: weight buffer, installed weights, products on their way to ACC, accumulators."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.dot_products import Fp16Weights, Int8Weights
from lpu_backend.chip import ChipSpec
from lpu_backend.isa.operands import DataType
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.vectors import Bytes, Elements

NEVER = -2


@dataclass(eq=False)
class InstalledWeights:
    """The array from one IW on: `rows` uint8 [outputs, inputs]. What is computed from it is kept with it."""

    effective_cycle: int
    rows: Bytes
    _int8: Int8Weights | None = None
    _fp16: dict[int, tuple["InstalledWeights", Fp16Weights]] = field(default_factory=dict)

    def int8(self) -> Int8Weights:
        """As int8 weights."""
        if self._int8 is None:
            self._int8 = Int8Weights(self.rows.view(np.int8))
        return self._int8

    def fp16(self, high: "InstalledWeights") -> Fp16Weights:
        """As the low bytes of fp16 weights whose high bytes are `high`."""
        known = self._fp16.get(id(high))
        if known is None or known[0] is not high:
            pairs: NDArray[np.float16] = np.stack([self.rows, high.rows], axis=-1).view(np.float16)[..., 0]
            known = self._fp16[id(high)] = (high, Fp16Weights(pairs))
        return known[1]


class Product(NamedTuple):
    """A product that waits for the ACC of its cycle."""

    dtype: DataType
    elements: Elements
    issue: Issue


class Plane:
    """State of one plane. Cycles are the southernmost tile's."""

    def __init__(self, spec: ChipSpec) -> None:
        self._lanes = spec.lanes
        self.buffer: dict[int, Bytes] = {}
        self.products: dict[int, Product] = {}
        self.accumulators: dict[int, tuple[DataType, Elements]] = {}
        self.last_int8_cycle = NEVER
        self.last_fp16_cycle = NEVER
        self._installed: list[InstalledWeights] = []

    def install(self, rows: int, effective_cycle: int) -> None:
        """Move the buffer's first rows, all of which must be there, into the array."""
        matrix = np.zeros((self._lanes, self._lanes), np.uint8)
        for row in range(rows):
            matrix[row] = self.buffer[row]
        self.buffer = {}
        self._installed = [*self._installed[-1:], InstalledWeights(effective_cycle, matrix)]

    def weights_at(self, cycle: int) -> InstalledWeights | None:
        """The array as an activation meets it in a cycle."""
        effective = [weights for weights in self._installed if weights.effective_cycle <= cycle]
        return effective[-1] if effective else None
