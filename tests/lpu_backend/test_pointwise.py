"""Every VXM operation and conversion against Python's integers and fractions, element by element."""

import math
import operator
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpu_backend.arithmetic.dot_products import Fp16Weights
from lpu_backend.arithmetic.pointwise import (
    OperationTypeError,
    apply_binary,
    apply_unary,
    convert,
    immediate,
    is_defined,
)
from lpu_backend.isa.instructions import BINARY_OPS, TRANSCENDENTAL_OPS, UNARY_OPS, BinaryOp
from lpu_backend.isa.operands import DataType

INTEGERS = [dtype for dtype in DataType if not dtype.is_float]
FLOATS = [DataType.FP16, DataType.FP32]
QUIET_NAN = {DataType.FP16: 0x7E00, DataType.FP32: 0x7FC00000}
LANES = 64

BYTES = {dtype: st.binary(min_size=LANES * dtype.streams, max_size=LANES * dtype.streams) for dtype in DataType}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1.5, math.inf, -math.inf, math.nan, 2.0**-24, -(2.0**-24), 65_504.0, 2.0**-14]


def draw(data: st.DataObject, dtype: DataType) -> NDArray[np.generic]:
    return np.frombuffer(bytearray(data.draw(BYTES[dtype])), dtype.numpy)


def make(dtype: DataType, bits: list[int]) -> NDArray[np.generic]:
    return np.array(bits, f"<u{dtype.streams}").view(dtype.numpy)


def to_bits(values: NDArray[np.generic]) -> list[int]:
    return list(values.view(f"<u{values.itemsize}").tolist())


def wrap(value: int, dtype: DataType) -> int:
    width = 8 * dtype.streams
    value &= (1 << width) - 1
    return value - (1 << width) if bounds(dtype)[0] < 0 and value >> (width - 1) else value


def bounds(dtype: DataType) -> tuple[int, int]:
    width = 8 * dtype.streams
    return (0, (1 << width) - 1) if dtype.value.startswith("u") else (-(1 << (width - 1)), (1 << (width - 1)) - 1)


def saturate(value: int, dtype: DataType) -> int:
    least, most = bounds(dtype)
    return min(max(value, least), most)


def integer_operation(op: BinaryOp, left: int, right: int, dtype: DataType) -> int:
    width = 8 * dtype.streams
    arithmetic = {"Add": operator.add, "Sub": operator.sub, "Mul": operator.mul}
    if op.removesuffix("Sat") in arithmetic:
        return (saturate if op.endswith("Sat") else wrap)(arithmetic[op.removesuffix("Sat")](left, right), dtype)
    others: dict[str, Callable[[], int]] = {
        "Max": lambda: max(left, right),
        "Min": lambda: min(left, right),
        "And": lambda: left & right,
        "Or": lambda: left | right,
        "Xor": lambda: left ^ right,
        "Shl": lambda: left << (right % width),
        "Shr": lambda: left >> (right % width),
        "Gt": lambda: left > right,
        "Ge": lambda: left >= right,
        "Eq": lambda: left == right,
        "Mask": lambda: left if right else 0,
    }
    return wrap(int(others[op]()), dtype)


def round_bits(exact: Fraction, dtype: DataType) -> int:
    """The bits of a rational number rounded to fp16 or fp32 to nearest even: subnormals, overflow and all. Not -0."""
    fraction_bits, least_exponent, infinity = (10, -24, 0x7C00) if dtype is DataType.FP16 else (23, -149, 0x7F800000)
    sign = (infinity + (1 << fraction_bits)) if exact < 0 else 0
    floor_log2 = exact.numerator.bit_length() - exact.denominator.bit_length()  # the denominator is a power of two
    exponent = max(floor_log2 - fraction_bits, least_exponent)
    whole = round(abs(exact) / Fraction(2) ** exponent)
    # Consecutive floats have consecutive bits, so a carry runs into the exponent and past the last into infinity.
    return sign | min(whole + ((exponent - least_exponent) << fraction_bits), infinity)


def is_nan(dtype: DataType, bits: int) -> bool:
    return bits & ~(1 << (8 * dtype.streams - 1)) > (0x7C00 if dtype is DataType.FP16 else 0x7F800000)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("op", BINARY_OPS)
@given(data=st.data())
@settings(max_examples=4, deadline=None)
def test_an_integer_operation_is_that_of_python(op: BinaryOp, dtype: DataType, data: st.DataObject) -> None:
    ends = [*bounds(dtype), 0, 1, 3]
    left = np.append(draw(data, dtype), np.repeat(ends, 5).astype(dtype.numpy))
    right = np.append(draw(data, dtype), np.tile(ends, 5).astype(dtype.numpy))
    result = apply_binary(op, dtype, left, right)
    expected = [integer_operation(op, a, b, dtype) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert result.dtype == dtype.numpy
    assert result.tolist() == expected


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_unary_operations_wrap(dtype: DataType) -> None:
    values = [*bounds(dtype), 0, 1, 77]
    x = np.array(values, dtype.numpy)
    assert apply_unary("Copy", dtype, x).tolist() == values
    assert apply_unary("Negate", dtype, x).tolist() == [wrap(-value, dtype) for value in values]
    assert apply_unary("Abs", dtype, x).tolist() == [wrap(abs(value), dtype) for value in values]
    assert apply_unary("Not", dtype, x).tolist() == [wrap(~value, dtype) for value in values]
    assert apply_unary("ReLU", dtype, x).tolist() == [max(value, 0) for value in values]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ["Add", "AddSat", "Sub", "SubSat", "Mul", "MulSat"])
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_float_arithmetic_is_exact_and_rounded_once(op: BinaryOp, dtype: DataType, data: st.DataObject) -> None:
    left, right = draw(data, dtype), draw(data, dtype)
    finite = np.isfinite(left) & np.isfinite(right)
    result = to_bits(apply_binary(op, dtype, left, right)[finite])
    arithmetic = {"A": operator.add, "S": operator.sub, "M": operator.mul}[op[0]]
    exact = [
        arithmetic(Fraction(float(a)), Fraction(float(b))) for a, b in zip(left[finite], right[finite], strict=True)
    ]
    sign = 1 << (8 * dtype.streams - 1)
    assert [bits for bits, value in zip(result, exact, strict=True) if value] == [
        round_bits(value, dtype) for value in exact if value
    ]
    assert all(bits in (0, sign) for bits, value in zip(result, exact, strict=True) if not value)


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_special_cases_are_those_of_ieee(dtype: DataType) -> None:
    pairs = [(math.inf, -math.inf), (math.inf, 0.0), (math.nan, 1.0), (-0.0, -0.0), (0.0, -0.0), (-math.inf, 1.0)]
    left, right = np.array(pairs, dtype.numpy).T
    expected = {
        "Add": "[nan, inf, nan, -0.0, 0.0, -inf]",
        "Sub": "[inf, inf, nan, 0.0, 0.0, -inf]",
        "Mul": "[-inf, nan, nan, 0.0, -0.0, -inf]",
        "Max": "[inf, inf, nan, -0.0, 0.0, 1.0]",
        "Min": "[-inf, 0.0, nan, -0.0, -0.0, -inf]",
        "Gt": "[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]",
        "Ge": "[1.0, 1.0, 0.0, 1.0, 1.0, 0.0]",
        "Eq": "[0.0, 0.0, 0.0, 1.0, 1.0, 0.0]",
        "Mask": "[inf, 0.0, nan, 0.0, 0.0, -inf]",
    }
    assert {op: str(apply_binary(op, dtype, left, right).tolist()) for op in expected} == expected
    for op in ("Max", "Min"):
        assert to_bits(apply_binary(op, dtype, left, right)) == to_bits(apply_binary(op, dtype, right, left))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Max", "Min"])
def test_a_computed_nan_has_always_the_same_bits(op: BinaryOp, dtype: DataType) -> None:
    odd_nan, quiet = {DataType.FP16: (0xFD23, 0x7E00), DataType.FP32: (0xFFA12345, 0x7FC00000)}[dtype]
    nans, ones = make(dtype, [odd_nan, quiet, odd_nan]), np.ones(3, dtype.numpy)
    assert to_bits(apply_binary(op, dtype, nans, ones)) == [quiet] * 3
    assert to_bits(apply_binary(op, dtype, ones, nans)) == [quiet] * 3
    for unary in ("ReLU", "TanH", "Exp", "RSqrt"):
        assert to_bits(apply_unary(unary, dtype, nans)) == [quiet] * 3


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_operations_that_choose_or_move_keep_the_bits(dtype: DataType, data: st.DataObject) -> None:
    x, right = draw(data, dtype), draw(data, dtype)
    bits, sign = to_bits(x), 1 << (8 * dtype.streams - 1)
    right[::3] = 0
    right[1::6] = -0.0
    assert to_bits(apply_unary("Copy", dtype, x)) == bits
    assert to_bits(apply_unary("Negate", dtype, x)) == [word ^ sign for word in bits]
    assert to_bits(apply_unary("Abs", dtype, x)) == [word & ~sign for word in bits]
    kept = [word if other & ~sign else 0 for word, other in zip(bits, to_bits(right), strict=True)]
    assert to_bits(apply_binary("Mask", dtype, x, right)) == kept
    relu = [QUIET_NAN[dtype] if is_nan(dtype, word) else 0 if word & sign else word for word in bits]
    assert to_bits(apply_unary("ReLU", dtype, x)) == relu


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_float_comparisons_are_those_of_python(dtype: DataType, data: st.DataObject) -> None:
    left = np.append(draw(data, dtype), np.repeat(SPECIAL, len(SPECIAL)).astype(dtype.numpy))
    right = np.append(draw(data, dtype), np.tile(SPECIAL, len(SPECIAL)).astype(dtype.numpy))
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    assert apply_binary("Gt", dtype, left, right).tolist() == [float(a > b) for a, b in pairs]
    assert apply_binary("Ge", dtype, left, right).tolist() == [float(a >= b) for a, b in pairs]
    assert apply_binary("Eq", dtype, left, right).tolist() == [float(a == b) for a, b in pairs]
    for op, choose in (("Max", max), ("Min", min)):
        result = apply_binary(op, dtype, left, right).tolist()
        expected = [math.nan if a != a or b != b else choose(a, b) for a, b in pairs]
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("from_type", DataType)
@pytest.mark.parametrize("to_type", DataType)
@given(data=st.data())
@settings(max_examples=4, deadline=None)
def test_a_conversion_goes_to_the_nearest(from_type: DataType, to_type: DataType, data: st.DataObject) -> None:
    x = draw(data, from_type)
    if from_type.is_float:
        halves = [0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, -128.5, 254.5, 255.5, 2.0**-24, 2047.5]
        large = [] if from_type is DataType.FP16 else [65_519.0, 65_520.0, 2.0**-25, 3 * 2.0**-25, 2.0**31 - 128]
        x = np.append(x[np.isfinite(x)], np.array(halves + large, from_type.numpy))
    result = convert(to_type, x)
    exact = [Fraction(value) for value in x.tolist()]
    assert result.dtype == to_type.numpy
    if to_type.is_float:
        compared = [(bits, value) for bits, value in zip(to_bits(result), exact, strict=True) if value]
        assert [bits for bits, _ in compared] == [round_bits(value, to_type) for _, value in compared]
    else:
        assert result.tolist() == [saturate(round(value), to_type) for value in exact]


@pytest.mark.parametrize("from_type", FLOATS)
def test_conversions_of_what_is_not_finite(from_type: DataType) -> None:
    x = np.array([math.inf, -math.inf, math.nan, -0.0], from_type.numpy)
    for dtype in INTEGERS:
        assert convert(dtype, x).tolist() == [bounds(dtype)[1], bounds(dtype)[0], 0, 0]
    for dtype in FLOATS:
        assert str(convert(dtype, x).tolist()) == "[inf, -inf, nan, -0.0]"
        assert to_bits(convert(dtype, -x))[2] == QUIET_NAN[dtype]


@pytest.mark.parametrize("dtype", DataType)
def test_an_operation_on_a_type_it_is_not_for_is_refused(dtype: DataType) -> None:
    x = np.ones(2, dtype.numpy)
    bitwise = {"Not", "And", "Or", "Xor", "Shl", "Shr"}
    for op in (*UNARY_OPS, *BINARY_OPS):
        assert is_defined(op, dtype) == (op not in (bitwise if dtype.is_float else TRANSCENDENTAL_OPS))
        if is_defined(op, dtype):
            continue
        with pytest.raises(OperationTypeError, match=f"{op}.{dtype.value}"):
            apply_unary(op, dtype, x) if op in UNARY_OPS else apply_binary(op, dtype, x, x)


@pytest.mark.parametrize("dtype", DataType)
def test_what_is_defined_keeps_shape_type_and_operands(dtype: DataType) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    for op in UNARY_OPS:
        if is_defined(op, dtype):
            result = apply_unary(op, dtype, x)
            assert (result.shape, result.dtype) == ((2, 3), dtype.numpy)
            assert not np.shares_memory(result, x)
    for binary_op in BINARY_OPS:
        if is_defined(binary_op, dtype):
            result = apply_binary(binary_op, dtype, x, immediate(0x3F800001, dtype))
            assert (result.shape, result.dtype) == ((2, 3), dtype.numpy)
            result = apply_binary(binary_op, dtype, immediate(3, dtype), x[0])
            assert (result.shape, result.dtype) == ((3,), dtype.numpy)
    assert x.tolist() == np.arange(6).reshape(2, 3).tolist()


def test_an_immediate_is_the_low_bits_of_its_type() -> None:
    assert immediate(0x3F800000, DataType.FP32).tolist() == [1.0]
    assert immediate(0x12343C00, DataType.FP16).tolist() == [1.0]
    assert immediate(0xFFFFFFFE, DataType.INT32).tolist() == immediate(-2, DataType.INT8).tolist() == [-2]
    assert immediate(0x1FF, DataType.UINT8).tolist() == [255]
    assert immediate(0x18001, DataType.INT16).tolist() == [-32_767]
    assert not immediate(1, DataType.UINT16).flags.writeable


FP16_PATTERNS = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FP32_PATTERNS = np.array([0x7F800001, 0xFF800001, 0x7FBFFFFF, 0x7FC00001, 0x7F800000, 0x00000001], np.uint32).view(
    "<f4"
)


@pytest.mark.parametrize(("dtype", "x"), [(DataType.FP16, FP16_PATTERNS), (DataType.FP32, FP32_PATTERNS)])
def test_no_bit_pattern_of_a_float_warns_and_nan_unifies(dtype: DataType, x: np.ndarray) -> None:
    """Signalling NaNs among them, which hardware may flag while it widens or compares them."""
    for unary in UNARY_OPS:
        if is_defined(unary, dtype):
            apply_unary(unary, dtype, x)
    for binary in BINARY_OPS:
        if is_defined(binary, dtype):
            apply_binary(binary, dtype, x, x[::-1].copy())
    for to_type in DataType:
        converted = convert(to_type, x)
        if to_type.is_float:
            assert len({value.tobytes() for value in converted[np.isnan(x)]}) == 1
        else:
            assert not converted[np.isnan(x)].any()


def test_an_fp16_product_takes_signalling_nans_without_a_warning() -> None:
    signalling = np.full((2, 4), 0x7C01, np.uint16).view(np.float16)
    assert np.isnan(Fp16Weights(signalling).multiply(signalling[0])).all()
