"""Scales from one byte, worked out here bit by bit as docs/numerics.md has them."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.arithmetic.functions import rsqrt
from lpu_backend.arithmetic.grids import ACTIVATIONS, CACHE, Grid
from lpu_backend.arithmetic.planes import round_codes

GRIDS = {"activations": (ACTIVATIONS, 21, 348, 16_256), "cache": (CACHE, 20, 856, 127)}


def bits_of(number: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", number))[0])


def float_of(bits: int) -> np.float32:
    number: np.float32 = np.frombuffer(struct.pack("<I", bits), np.float32)[0]
    return number


def scale_by_definition(magnitude: float, shift: int, least: int, steps: int) -> np.float32:
    code = min(max((bits_of(magnitude) >> shift) - least, 0), 255)
    return float_of((code + least + 1) << shift) * np.float32(1 / steps)


@pytest.mark.parametrize("name", GRIDS)
@settings(max_examples=200, deadline=None)
@given(exponent=st.integers(-60, 23), fraction=st.floats(1.0, 2.0, width=32, exclude_max=True))
def test_the_scale_is_that_of_the_code(name: str, exponent: int, fraction: float) -> None:
    grid, shift, least, steps = GRIDS[name]
    magnitude = np.array([min(fraction * 2.0**exponent, 2.0**12 - 1)], np.float32)
    scale, steps_per_unit = grid.choose(magnitude)
    assert scale[0] == scale_by_definition(float(magnitude[0]), shift, least, steps)
    root = rsqrt(scale)
    assert steps_per_unit[0] == root[0] * root[0]


@pytest.mark.parametrize(
    ("grid", "least", "most", "part"), [(ACTIVATIONS, -40, 24, 0.25), (CACHE, -20, 12, 0.125)], ids=["rows", "cache"]
)
def test_256_codes_reach_from_the_least_magnitude_to_the_most(grid: Grid, least: int, most: int, part: float) -> None:
    steps = 16_256 if grid is ACTIVATIONS else 127
    ends = np.array([0.0, 2.0**least, np.nextafter(np.float32(2.0**most), np.float32(0))], np.float32)
    expected = np.array([(1 + part) * 2.0**least, (1 + part) * 2.0**least, 2.0**most]) * np.float32(1 / steps)
    np.testing.assert_array_equal(grid.choose(ends).scale, expected.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-4_000, 4_000, width=32), min_size=1, max_size=40))
def test_keys_and_values_are_int8_and_lose_half_a_step_at_most(values: list[float]) -> None:
    x = np.array([values], np.float32)
    codes, scale = round_codes(x)
    assert np.abs(codes).max() <= 127
    np.testing.assert_array_equal(codes, np.rint(codes))
    assert np.abs(codes * scale.astype(np.float64) - x).max() <= 0.501 * scale[0, 0]
