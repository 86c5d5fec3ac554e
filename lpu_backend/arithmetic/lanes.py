"""How the SXM moves lanes. The last axis is lanes, the southernmost first; leading axes are a batch."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.isa.instructions import ZERO_LANE

Values = NDArray[Any]


def shift(x: Values, lanes: int) -> Values:
    """Lanes move north by `lanes`, south if it is negative; those left behind become zero."""
    shifted = np.zeros_like(x)
    if lanes >= 0:
        shifted[..., lanes:] = x[..., : max(0, x.shape[-1] - lanes)]
    else:
        shifted[..., :lanes] = x[..., -lanes:]
    return shifted


def select(south: Values, north: Values, boundary: int) -> Values:
    """Lanes below `boundary` from `south`, the others from `north`."""
    selected = north.copy()
    selected[..., :boundary] = south[..., :boundary]
    return selected


def is_bijection(lane_map: NDArray[np.integer[Any]]) -> bool:
    """Whether a map of [n] names each of n lanes once, as Permute needs it."""
    lanes = len(lane_map)
    if lane_map.min() < 0 or lane_map.max() >= lanes:
        return False
    return bool((np.bincount(lane_map, minlength=lanes) == 1).all())


def permute(x: Values, lane_map: NDArray[np.integer[Any]]) -> Values:
    """Lane i of the result is lane lane_map[i] of `x`; `lane_map` is [n]. IndexError for a lane that `x` lacks."""
    return x[..., lane_map]


def distribute(x: Values, lane_map: tuple[int, ...], lanes_per_tile: int) -> Values:
    """In each tile, lane i of the result is lane lane_map[i] of that tile, or zero where it is ZERO_LANE."""
    index, is_zero = _spread_over_tiles(lane_map, lanes_per_tile, x.shape[-1])
    distributed: Values = x[..., index]
    distributed[..., is_zero] = 0
    return distributed


def rotate(x: Values, size: int, lanes_per_tile: int) -> list[Values]:
    """The size^2 cyclic rotations of the block of `size` x `size` that is in the first lanes of each tile, row by row.

    Result size i + j holds in row a, column b what `x` has in row (a + i) mod size, column (b + j) mod size.
    Lanes past the block are zero.
    """
    return [distribute(x, lane_map, lanes_per_tile) for lane_map in _list_rotations(size, lanes_per_tile)]


def transpose(xs: Values, lanes_per_tile: int) -> Values:
    """[..., streams, lanes] to the same: in each tile, lane i of stream j is what lane j of stream i was.

    There are as many streams as lanes in a tile.
    """
    *batch, streams, lanes = xs.shape
    tiles = xs.reshape(*batch, streams, lanes // lanes_per_tile, lanes_per_tile)
    return tiles.swapaxes(-1, -3).reshape(xs.shape)


@lru_cache(maxsize=1024)
def _spread_over_tiles(
    lane_map: tuple[int, ...], lanes_per_tile: int, lanes: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of all lanes, where each comes from, and which are zero."""
    in_tile = np.array(lane_map)
    is_zero = in_tile == ZERO_LANE
    tiles = np.arange(0, lanes, lanes_per_tile)[:, None]
    index = (tiles + np.where(is_zero, 0, in_tile)).ravel()
    return index, np.flatnonzero(np.broadcast_to(is_zero, (len(tiles), lanes_per_tile)))


@lru_cache(maxsize=16)
def _list_rotations(size: int, lanes_per_tile: int) -> tuple[tuple[int, ...], ...]:
    past = (ZERO_LANE,) * (lanes_per_tile - size**2)
    turns = [(down, right) for down in range(size) for right in range(size)]
    return tuple(tuple((a + i) % size * size + (b + j) % size for a, b in turns) + past for i, j in turns)
