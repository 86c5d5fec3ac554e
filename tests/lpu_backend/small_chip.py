"""A chip of two tiles and eight MEM slices: quick, and every figure a parameter. West to east: MXM_W1 0, MXM_W0 1,
SXM_W 2, MEM_W3 3 ... MEM_W0 6, VXM 7, MEM_E0 8 ... MEM_E3 11, SXM_E 12, MXM_E0 13, MXM_E1 14."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.assembly import assemble
from lpu_backend.chip import ChipSpec
from lpu_backend.machine import Run, run_program

SMALL_CHIP = ChipSpec(name="small", tiles=2, mem_slices=8, mem_addresses=64)
LANES = SMALL_CHIP.lanes


def run_text(text: str, inputs: Mapping[str, NDArray[Any]] | None = None, **keywords: Any) -> Run:
    """Assemble for the small chip and run."""
    return run_program(assemble(text, SMALL_CHIP), inputs or {}, SMALL_CHIP, **keywords)


def row(*values: int, dtype: str = "int8") -> NDArray[Any]:
    """One vector [1, lanes]: the values, then zeros."""
    vector = np.zeros((1, LANES), dtype)
    vector[0, : len(values)] = values
    return vector


def count_lanes(dtype: str = "int8") -> NDArray[Any]:
    """One vector [1, lanes]: 0, 1, 2, ..."""
    return np.arange(LANES, dtype=dtype).reshape(1, LANES)
