"""The SXM's moves against loops over lanes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.arithmetic.lanes import distribute, is_bijection, permute, rotate, select, shift, transpose
from lpu_backend.isa.instructions import ZERO_LANE

LANES, LANES_PER_TILE = 64, 16
X = np.random.default_rng(1).integers(1, 256, LANES).astype(np.uint8)
BATCH = np.random.default_rng(2).integers(1, 256, (2, 3, LANES)).astype(np.uint8)


@given(st.integers(-80, 80))
@settings(max_examples=60, deadline=None)
def test_shift_moves_lanes_north_and_leaves_zeros(lanes: int) -> None:
    expected = [int(X[i - lanes]) if 0 <= i - lanes < LANES else 0 for i in range(LANES)]
    assert shift(X, lanes).tolist() == expected
    assert shift(BATCH, lanes)[1, 2].tolist() == shift(BATCH[1, 2], lanes).tolist()


@pytest.mark.parametrize("boundary", [0, 1, 16, 33, LANES])
def test_select_takes_the_south_below_the_boundary(boundary: int) -> None:
    north = X[::-1].copy()
    expected = [int(X[i] if i < boundary else north[i]) for i in range(LANES)]
    assert select(X, north, boundary).tolist() == expected
    assert select(BATCH, BATCH + 1, boundary)[0, 1].tolist() == select(BATCH[0, 1], BATCH[0, 1] + 1, boundary).tolist()


@given(st.permutations(range(LANES)))
@settings(max_examples=20, deadline=None)
def test_permute_takes_each_lane_from_where_the_map_says(order: list[int]) -> None:
    lane_map = np.array(order, np.uint16)
    assert is_bijection(lane_map)
    assert permute(X, lane_map).tolist() == [int(X[source]) for source in order]
    assert permute(BATCH, lane_map)[1, 0].tolist() == permute(BATCH[1, 0], lane_map).tolist()


@pytest.mark.parametrize("broken", [{3: 4}, {0: LANES}, {5: 65_535}])
def test_a_map_that_is_no_bijection_is_seen(broken: dict[int, int]) -> None:
    lane_map = np.arange(LANES, dtype=np.uint16)
    for lane, source in broken.items():
        lane_map[lane] = source
    assert not is_bijection(lane_map)


@given(st.lists(st.integers(0, ZERO_LANE), min_size=LANES_PER_TILE, max_size=LANES_PER_TILE))
@settings(max_examples=60, deadline=None)
def test_distribute_stays_within_a_tile(lane_map: list[int]) -> None:
    tiles = X.reshape(-1, LANES_PER_TILE).tolist()
    expected = [0 if source == ZERO_LANE else tile[source] for tile in tiles for source in lane_map]
    assert distribute(X, tuple(lane_map), LANES_PER_TILE).tolist() == expected
    batch = distribute(BATCH, tuple(lane_map), LANES_PER_TILE)
    assert batch[1, 1].tolist() == distribute(BATCH[1, 1], tuple(lane_map), LANES_PER_TILE).tolist()


@pytest.mark.parametrize("size", [3, 4])
def test_rotate_gives_every_rotation_of_the_block(size: int) -> None:
    rotations = rotate(X, size, LANES_PER_TILE)
    assert len(rotations) == size**2
    for number, rotation in enumerate(rotations):
        i, j = divmod(number, size)
        for tile in range(0, LANES, LANES_PER_TILE):
            block = X[tile : tile + size**2].reshape(size, size)
            turned = [int(block[(a + i) % size, (b + j) % size]) for a in range(size) for b in range(size)]
            rest = [0] * (LANES_PER_TILE - size**2)
            assert rotation[tile : tile + LANES_PER_TILE].tolist() == turned + rest
    assert rotations[0][: size**2].tolist() == X[: size**2].tolist()
    assert (
        rotate(BATCH, size, LANES_PER_TILE)[4][1, 2].tolist() == rotate(BATCH[1, 2], size, LANES_PER_TILE)[4].tolist()
    )


def test_transpose_swaps_streams_and_lanes_within_each_tile() -> None:
    xs = np.random.default_rng(3).integers(0, 256, (LANES_PER_TILE, LANES)).astype(np.uint8)
    result = transpose(xs, LANES_PER_TILE)
    for j in range(LANES_PER_TILE):
        for lane in range(LANES):
            tile, i = divmod(lane, LANES_PER_TILE)
            assert result[j, lane] == xs[i, tile * LANES_PER_TILE + j]
    assert transpose(result, LANES_PER_TILE).tolist() == xs.tolist()
    assert transpose(np.stack([result, xs]), LANES_PER_TILE)[1].tolist() == result.tolist()


def test_moves_leave_their_operands_alone() -> None:
    before = X.copy()
    moved = [
        shift(X, 3),
        select(X, X, 7),
        permute(X, np.arange(LANES)),
        distribute(X, (16,) * 16, 16),
        *rotate(X, 3, 16),
    ]
    for result in moved:
        result[...] = 0
    assert X.tolist() == before.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.int32])
def test_elements_of_any_type_are_moved(dtype: type) -> None:
    x = X.astype(dtype)
    for result in (shift(x, 1), select(x, x, 2), distribute(x, tuple(range(1, 17)), 16), rotate(x, 4, 16)[1]):
        assert result.dtype == dtype
