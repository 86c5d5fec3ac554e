"""Products of int8 weights by activations of two planes: exact, and as near as 15 bits can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpu_backend.arithmetic import planes
from lpu_backend.arithmetic.planes import Planes, PlaneWeights, multiply_columns, multiply_rows, split_planes

Floats = NDArray[np.float32]


def whole(split: Planes) -> NDArray[np.int64]:
    """What both planes stand for, in steps."""
    steps: NDArray[np.int64] = split.planes.astype(np.int64).sum(axis=-2)
    return steps


def random_rows(*shape: int, seed: int = 3) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=40))
def test_planes_are_int8_and_a_vector_loses_half_a_step_at_most(values: list[float]) -> None:
    x = np.array([values], np.float32)
    split = split_planes(x)
    high, low = split.planes[0]
    assert np.abs(high).max() <= 127 * 128
    assert not (high % 128).any()
    assert np.abs(low).max() <= 64
    assert np.abs(whole(split) * split.scale.astype(np.float64) - x).max() <= 0.503 * split.scale[0, 0]


def test_a_vector_of_zeros_stays_one() -> None:
    split = split_planes(np.zeros((2, 5), np.float32))
    assert not split.planes.any()
    assert np.isfinite(split.scale).all()


def exact_outputs(rows: Floats, split: Planes) -> NDArray[np.float64]:
    """The same sums in integers, with the weights' codes worked out apart."""
    scales = np.abs(rows).max(axis=1) / np.float32(127)
    codes = np.rint(rows / scales[:, None]).astype(np.int64)
    high, low = (split.planes[:, plane].astype(np.int64) @ codes.T for plane in (0, 1))
    sums = high.astype(np.float32) + low.astype(np.float32)
    outputs: NDArray[np.float64] = sums * scales * split.scale
    return outputs


@pytest.mark.parametrize("tokens", [1, 2, 9])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 1), (33, 70), (64, 1_041), (40, 3_000)])
def test_products_are_those_of_integers(tokens: int, outputs: int, inputs: int) -> None:
    rows, split = random_rows(outputs, inputs), split_planes(random_rows(tokens, inputs, seed=4))
    np.testing.assert_array_equal(PlaneWeights(rows).multiply(split), exact_outputs(rows, split))


@pytest.mark.parametrize("inputs", [1_040, 1_041, 5_000])
def test_the_largest_sums_are_exact_too(inputs: int) -> None:
    rows = np.where(random_rows(5, inputs) > 2, -1, 1).astype(np.float32)
    split = split_planes(np.ones((2, inputs), np.float32))
    np.testing.assert_array_equal(PlaneWeights(rows).multiply(split), exact_outputs(rows, split))


@pytest.mark.parametrize("together", [True, False])
def test_both_ways_to_multiply_one_token_agree(together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, split = random_rows(100, 300), split_planes(random_rows(1, 300, seed=4))
    monkeypatch.setattr(planes, "_prefers_matrices", lambda: together)
    np.testing.assert_array_equal(PlaneWeights(rows).multiply(split), exact_outputs(rows, split))


@pytest.mark.parametrize("width", [7, 1_040, 3_333])
def test_products_with_a_cache_are_those_of_integers(width: int) -> None:
    x = split_planes(random_rows(2, 3, width))
    codes = np.random.default_rng(1).integers(-127, 128, (2, 5, width)).astype(np.float32)
    high, low = (x.planes[:, :, plane].astype(np.int64) @ codes.astype(np.int64).swapaxes(1, 2) for plane in (0, 1))
    expected = high.astype(np.float32) + low.astype(np.float32)
    np.testing.assert_array_equal(multiply_columns(x, codes.swapaxes(1, 2)), expected)
    if width <= 1_040:
        np.testing.assert_array_equal(multiply_rows(x, codes), expected)


@pytest.mark.parametrize("width", [3, 1_040, 9_000, 131_072])
def test_squares_are_summed_as_their_upper_and_lower_bits(width: int) -> None:
    split = split_planes(np.concatenate([random_rows(1, width), np.full((1, width), 3.9999998, np.float32)]))
    squares = whole(split) ** 2
    upper, lower = ((squares >> 14).sum(axis=1), (squares & 16_383).sum(axis=1))
    assert upper.max() < 2**31 > lower.max()
    expected = upper.astype(np.float32) * np.float32(16_384) + lower.astype(np.float32)
    np.testing.assert_array_equal(planes.sum_squares(split)[:, 0], expected)
