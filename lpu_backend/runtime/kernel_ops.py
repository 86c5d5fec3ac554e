"""What the planner of kernels and the kernels agree on: the operations of a pass, as rows of whole numbers, and arrays.

A *value* is rows of fp32 in one array: with n rows in a pass, row r begins at n x base + r x stride + offset. An
*operand* is rows on the activations' grid, in an array of int16, from n x base on, and their scales.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

SPLIT, MULTIPLY, NORM, LAYER_NORM, GELU, TURN, ATTEND, GATE, ADD, CAP, ROUTE, EXPERTS = range(12)
"""Kinds of operations; what each reads is in `kernel_planning`, which makes them."""

FIELDS = 23
KIND, SOURCE, OTHER, RESULT, WIDTH, OPERAND, EXTRA = 0, 1, 4, 7, 10, 11, 15
"""Where an operation's fields begin: its kind; three values of base, stride, offset; how many channels; an operand of
base, planes, index of its scales, padded width; what else the kind needs."""
BASE, STRIDE, OFFSET = range(3)
PLANES, INDEX, PADDED = 1, 2, 3

MATRIX_FIELDS = 6
OUTPUTS, INPUTS, CODES, SCALES, BIAS, IS_WIDE = range(MATRIX_FIELDS)
"""Of a row of the table of matrices: outputs; inputs, padded to pairs; where the codes, scales and bias (-1:
none) begin; whether sums of a plane may pass 2^24, so that the planes are summed, and rounded, apart."""

LANES = 16
"""Outputs whose sums are in one vector: their codes lie together, two inputs' at a time."""
OUTPUTS_TOGETHER = 4 * LANES
"""Outputs of a matrix are padded to a multiple of it, inputs to pairs."""
ELEMENTS_TOGETHER = 256
"""Of exponentials and hyperbolic tangents."""
TOKENS_TOGETHER = 4
"""Rows that share a reading of the weights."""

ARRIVED, TURNS, ARRIVALS = 0, 8, 16
"""Where threads that wait for each other count, far enough apart for a cache line each, and in how long an array."""

SILU_GATE, GELU_TANH_GATE, CLAMPED_SWIGLU_GATE = range(3)


class Program(NamedTuple):
    """The operations of a pass, and the model's numbers."""

    ops: Whole
    matrices: Whole
    codes: NDArray[np.int8]
    constants: Floats
    """Scales, biases, weights of norms, and whatever else is fp32."""


class Arena(NamedTuple):
    """The values and operands of a pass of `rows` rows."""

    rows: int
    values: Floats
    numbers: NDArray[np.int16]
    scales: Floats


class Places(NamedTuple):
    """Where each row is in its sequence, and the sequences in the pool."""

    positions: Whole
    page_starts: Whole
    """Where in `pages` those of the row's sequence begin."""
    pages: NDArray[np.int32]
    cosines: Floats
    sines: Floats
    """[rows, head_dim / 2] both."""
    layer_pages: int
    """Pages of the pool, in each layer."""
    codes: NDArray[np.int8]
    scales: Floats
    count_steps: np.float32
    """In which exponentials are counted."""


class Scratch(NamedTuple):
    """Room of each thread: [threads, ...]."""

    scores: Floats
    numbers: NDArray[np.int16]
    sums: NDArray[np.int32]
    wide: NDArray[np.float64]
    bits: Whole
    """ELEMENTS_TOGETHER each."""
