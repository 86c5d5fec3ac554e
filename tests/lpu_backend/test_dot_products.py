"""The MXM's products against Python's integers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpu_backend.arithmetic.dot_products import Fp16Weights, Int8Weights

FINITE_FP16 = [bits for bits in range(1 << 16) if bits & 0x7C00 != 0x7C00]


def fp16(*values: float) -> NDArray[np.float16]:
    return np.array(values, np.float16)


def round_to_float32(exact: Fraction) -> np.float32:
    """To nearest, ties to even, by integers alone. For sums of fp16 products, which are never subnormal fp32."""
    if exact == 0:
        return np.float32(0)
    exponent = math.frexp(abs(exact.numerator))[1] - math.frexp(exact.denominator)[1] - 25
    whole = abs(exact) / Fraction(2) ** exponent
    while whole >= 1 << 24:
        whole, exponent = whole / 2, exponent + 1
    return np.float32(math.copysign(math.ldexp(round(whole), exponent), exact))


def sum_exactly(row: NDArray[np.float16], x: NDArray[np.float16]) -> np.float32:
    units = (int(math.ldexp(a, 24)) * int(math.ldexp(b, 24)) for a, b in zip(row.tolist(), x.tolist(), strict=True))
    return round_to_float32(Fraction(sum(units), 1 << 48))


def assert_exact(rows: NDArray[np.float16], x: NDArray[np.float16]) -> None:
    expected = np.array([sum_exactly(row, x) for row in rows])
    assert Fp16Weights(rows).multiply(x).tobytes() == expected.tobytes()


@given(st.integers(1, 40), st.integers(1, 1100), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_int8_products_are_those_of_integers(outputs: int, inputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, x = (rng.integers(-128, 128, size).astype(np.int8) for size in ((outputs, inputs), inputs))
    product = Int8Weights(rows).multiply(x)
    assert product.dtype == np.int32
    assert product.tolist() == (rows.astype(np.int64) @ x.astype(np.int64)).tolist()


@pytest.mark.parametrize("inputs", [320, 1024, 1041, 131_071])
@pytest.mark.parametrize("value", [-128, 127])
def test_the_largest_int8_sums_are_exact(inputs: int, value: int) -> None:
    rows = np.full((2, inputs), value, np.int8)
    rows[1, 0] = -127
    product = Int8Weights(rows).multiply(np.full(inputs, value, np.int8))
    assert product.tolist() == [value * value * inputs, value * (value * (inputs - 1) - 127)]


def test_an_int8_sum_past_int32_wraps() -> None:
    inputs = 1 << 17
    product = Int8Weights(np.full((1, inputs), -128, np.int8)).multiply(np.full(inputs, -128, np.int8))
    assert product.tolist() == [-(1 << 31)]


def test_leading_axes_are_a_batch() -> None:
    rng = np.random.default_rng(3)
    rows, x = rng.integers(-3, 4, (5, 8)).astype(np.int8), rng.integers(-3, 4, (2, 3, 8)).astype(np.int8)
    whole, half = Int8Weights(rows), Fp16Weights(rows.astype(np.float16))
    expected = np.einsum("nk,abk->abn", rows.astype(np.int64), x.astype(np.int64))
    assert whole.multiply(x).tolist() == half.multiply(x.astype(np.float16)).tolist() == expected.tolist()


@given(st.integers(1, 6), st.integers(1, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_fp16_products_are_the_exact_sum_rounded_once(outputs: int, inputs: int, data: st.DataObject) -> None:
    bits = st.lists(st.sampled_from(FINITE_FP16), min_size=inputs, max_size=inputs)
    x = np.array(data.draw(bits), np.uint16).view(np.float16)
    rows = np.array([data.draw(bits) for _ in range(outputs)], np.uint16).view(np.float16)
    assert_exact(rows, x)


@pytest.mark.parametrize("scale", [1.0, 2.0**-14, 2.0**10])
def test_a_whole_plane_of_weights_is_exact(scale: float) -> None:
    rng = np.random.default_rng(5)
    rows = (rng.standard_normal((320, 320)) * scale).astype(np.float16)
    assert_exact(rows, rng.standard_normal(320).astype(np.float16))


def test_a_batch_is_exact_in_every_row() -> None:
    rng = np.random.default_rng(6)
    rows = rng.choice(fp16(0, 1, -1, 2**-24, 60_000, -60_000, 0.1), (20, 64))
    batch = rng.choice(fp16(0, -0.0, 1, -1, 2**-24, 65_504, 3e-5), (8, 64))
    products = Fp16Weights(rows).multiply(batch)
    assert products.tobytes() == np.array([[sum_exactly(row, x) for row in rows] for x in batch]).tobytes()


def test_ties_go_to_even_and_anything_below_a_tie_decides_it() -> None:
    x = fp16(4096, 1, 2**-12, 2**-12)
    tie = [4096, 1, 0, 0]  # 2^24 + 1
    rows = [tie, [4096, 3, 0, 0], [*tie[:2], 2**-12, 0], [*tie[:2], -(2**-12), 0], [-4096, -1, 0, -(2**-12)]]
    expected = [1 << 24, (1 << 24) + 4, (1 << 24) + 2, 1 << 24, -(1 << 24) - 2]
    assert Fp16Weights(fp16(*np.ravel(rows)).reshape(5, 4)).multiply(x).tolist() == expected


def test_a_bit_seventy_places_below_decides_a_tie() -> None:
    largest, tiniest = 65_504.0, 2.0**-24
    rows = fp16(largest, largest, tiniest, largest, largest, -tiniest, largest, largest, 0).reshape(3, 3)
    for x in (fp16(largest, 32, tiniest), fp16(32_768, 2**-8, tiniest), fp16(32_768, -(2**-8), tiniest)):
        assert_exact(rows, x)
        assert_exact(-rows, x)
    # 2^31 - 2^20 and half of its last place, 2^7 / 2, are a tie.
    tie = fp16(largest, 64, tiniest, largest, 64, -tiniest, largest, 64, 0).reshape(3, 3)
    products = Fp16Weights(tie).multiply(fp16(32_768, 1, tiniest))
    assert_exact(tie, fp16(32_768, 1, tiniest))
    assert len(set(products.tolist())) == 2


@pytest.mark.parametrize("exponent", range(-24, 1))
def test_the_least_term_decides_a_tie_however_small_it_is(exponent: int) -> None:
    tiny = 2.0**exponent
    x = fp16(4096, 1, tiny)
    assert_exact(fp16(4096, 1, tiny, 4096, 1, -tiny, 4096, 1, 0).reshape(3, 3), x)


def test_terms_that_cancel_leave_the_small_one() -> None:
    row, x = np.full((1, 320), 65_504, np.float16), np.full(320, 65_504, np.float16)
    x[1::2] = -65_504
    row[0, 6], x[6], row[0, 7], x[7] = 2**-24, 2**-24, 0, 0
    assert Fp16Weights(row).multiply(x).tolist() == [2.0**-48]


def test_the_largest_fp16_sum_is_exact() -> None:
    for inputs in (320, 40_000):
        largest = np.full((1, inputs), 65_504, np.float16)
        assert Fp16Weights(largest).multiply(largest[0]) == round_to_float32(Fraction(65_504**2 * inputs))


def test_a_sum_of_zero_is_positive() -> None:
    rows = fp16(-0.0, -0.0, 1, -1, 0, 0, 65_504, -65_504).reshape(4, 2)
    for x in (fp16(1, 1), fp16(-0.0, -0.0), fp16(-1, -1)):
        assert not Fp16Weights(rows).multiply(x).any()
        assert not np.signbit(Fp16Weights(rows).multiply(x)).any()
    assert not np.signbit(Fp16Weights(fp16(0, 1).reshape(1, 2)).multiply(fp16(-1, -0.0))).any()


def test_infinities_and_nan_go_where_ieee_says_and_leave_the_rest_exact() -> None:
    inf, nan = math.inf, math.nan
    rows = fp16(inf, 1, 1, inf, -inf, 0, nan, 1, 1, 4096, 1, 2**-12, -inf, 1, 1).reshape(5, 3)
    with_zero = Fp16Weights(rows).multiply(fp16(4096, 1, 2**-12))
    assert str(with_zero.tolist()) == str([inf, nan, nan, float((1 << 24) + 2), -inf])
    assert set(with_zero[np.isnan(with_zero)].view(np.uint32).tolist()) == {0x7FC00000}
    assert str(Fp16Weights(rows).multiply(fp16(0, 1, 1)).tolist()) == str([nan, nan, nan, 1 + 2**-12, nan])
    zero_row = Fp16Weights(fp16(0, 0, 0, 1).reshape(2, 2))
    assert str(zero_row.multiply(fp16(inf, 1)).tolist()) == str([nan, nan])
    assert str(zero_row.multiply(fp16(1, -inf)).tolist()) == str([nan, -inf])
    assert np.isnan(Fp16Weights(fp16(inf).reshape(1, 1)).multiply(fp16(0)))


def test_sums_too_wide_to_be_exact_are_refused() -> None:
    with pytest.raises(ValueError, match="524289 inputs"):
        Fp16Weights(np.zeros((0, (1 << 19) + 1), np.float16))
