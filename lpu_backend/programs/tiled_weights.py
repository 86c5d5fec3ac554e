"""How the matrix programs' texts lay weights out: 16 rows of a tile at a time, eight in each bank of eight slices."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1
from lpu_backend.programs.example import Tensors

Array = NDArray[Any]
TILE = 320
OUTPUTS, INPUTS = 1_280, 960
LOAD_ROWS = GROQCHIP1.mxm_load_streams
EARLY_ROWS = 32
"""matvec-int8-1280x960: rows of an inner plane's first tile that lie in the near slices."""
SIDES = ("west", "east")


def split_banks(rows: Array) -> tuple[Array, Array]:
    """Rows [n, lanes] as those of bank 0, the first 8 of every 16, and those of bank 1."""
    loads = rows.reshape(-1, 2, LOAD_ROWS // 2, rows.shape[1])
    return loads[:, 0].reshape(-1, rows.shape[1]), loads[:, 1].reshape(-1, rows.shape[1])


def lay_out_tile(weights: Array) -> dict[str, Array]:
    """Weights [320, 320] of one tile as regions, for matvec-int8-320 and matvec-fp16-320."""
    return _name_banks("w", weights)


def lay_out_int8(weights: Array) -> dict[str, Array]:
    """Weights [1280, 960] as the regions of matvec-int8-1280x960: blocks of outputs W0, E0, W1, E1, a plane each."""
    regions: dict[str, Array] = {}
    for side_index, side in enumerate(SIDES):
        inner = _stack_tiles(weights, side_index)
        outer = _stack_tiles(weights, side_index + len(SIDES))
        regions |= _name_banks(f"w_{side}_near", np.concatenate([inner[:EARLY_ROWS], outer]))
        regions |= _name_banks(f"w_{side}_far", inner[EARLY_ROWS:])
    return regions


def lay_out_fp16(weights: Array) -> dict[str, Array]:
    """Weights [1280, 960] as the regions of matvec-fp16-1280x960: blocks of outputs W, E, W, E, in order on a side."""
    regions: dict[str, Array] = {}
    for side_index, side in enumerate(SIDES):
        blocks = [_stack_tiles(weights, side_index), _stack_tiles(weights, side_index + len(SIDES))]
        regions |= _name_banks(f"w_{side}", np.concatenate(blocks))
    return regions


def restore(regions: Tensors, places: Mapping[str, Array], shape: tuple[int, int]) -> Array:
    """The weights of `shape` again. `places` are the same regions laid out from the indices into the flat weights."""
    weights = np.zeros(shape, regions[next(iter(places))].dtype)
    for name, indices in places.items():
        weights.flat[indices] = regions[name]
    return weights


def number(shape: tuple[int, int]) -> Array:
    """Indices of a flat array of `shape`, in that shape."""
    return np.arange(shape[0] * shape[1]).reshape(shape)


def _stack_tiles(weights: Array, block: int) -> Array:
    """The three tiles of one block of 320 outputs, one below the other: [960, 320]."""
    return np.concatenate(list(_list_tiles(weights[block * TILE : (block + 1) * TILE])))


def _list_tiles(rows: Array) -> Iterator[Array]:
    for start in range(0, rows.shape[1], TILE):
        yield rows[:, start : start + TILE]


def _name_banks(name: str, rows: Array) -> dict[str, Array]:
    return {f"{name}_bank{bank}": part for bank, part in enumerate(split_banks(rows))}
