"""TanH, Exp and RSqrt against decimals of 60 digits: correctly rounded, and special cases as stated."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend.arithmetic import functions
from lpu_backend.arithmetic.pointwise import apply_unary
from lpu_backend.isa.instructions import UnaryOp
from lpu_backend.isa.operands import DataType

Float32s = NDArray[np.float32]


def exp_exactly(x: Decimal) -> Decimal:
    return x.exp()


def tanh_exactly(x: Decimal) -> Decimal:
    return x if abs(x) < Decimal("1e-20") else ((2 * x).exp() - 1) / ((2 * x).exp() + 1)


def rsqrt_exactly(x: Decimal) -> Decimal:
    return 1 / x.sqrt()


def assert_correctly_rounded(
    function: Callable[[Float32s], Float32s], exact: Callable[[Decimal], Decimal], x: Float32s
) -> None:
    """Whether each result is at most half a unit in the last place of the exact value from it."""
    results = function(x)
    below, above = (np.nextafter(results, np.float32(end)) for end in (-math.inf, math.inf))
    with localcontext() as context:
        context.prec = 60
        for argument, least, result, most in zip(
            *(array.tolist() for array in (x, below, results, above)), strict=True
        ):
            middle, value = Decimal(result), exact(Decimal(argument))
            assert (Decimal(least) + middle) / 2 <= value <= (middle + Decimal(most)) / 2, argument


def sample(least: float, most: float, count: int) -> Float32s:
    """Numbers of every exponent between two positive ones."""
    ends = np.array([least, most], np.float32).view(np.uint32)
    bits = np.random.default_rng(7).integers(*ends, count, endpoint=True, dtype=np.uint32)
    return np.array(bits.view(np.float32))


def test_exp_is_correctly_rounded() -> None:
    assert_correctly_rounded(functions.exp, exp_exactly, sample(2**-26, 88.7, 1500))
    assert_correctly_rounded(functions.exp, exp_exactly, -sample(2**-27, 103, 1500))


def test_exp_is_correctly_rounded_into_subnormals() -> None:
    x = np.linspace(-103.9, -87.4, 1000, dtype=np.float32)
    assert 0 < functions.exp(x).min() < functions.exp(x).max() < np.finfo(np.float32).tiny
    assert_correctly_rounded(functions.exp, exp_exactly, x)


def test_tanh_is_correctly_rounded() -> None:
    assert_correctly_rounded(functions.tanh, tanh_exactly, sample(1e-45, 2**-10, 500))
    assert_correctly_rounded(functions.tanh, tanh_exactly, sample(2**-10, 9.1, 1500))
    assert_correctly_rounded(functions.tanh, tanh_exactly, -sample(0.1, 20, 500))


def test_rsqrt_is_correctly_rounded() -> None:
    assert_correctly_rounded(functions.rsqrt, rsqrt_exactly, sample(1e-45, 3.4e38, 3000))
    assert_correctly_rounded(functions.rsqrt, rsqrt_exactly, sample(1, 4, 2000))


HARDEST: dict[str, tuple[Callable[[Float32s], Float32s], Callable[[Decimal], Decimal], str]] = {
    "exp": (
        functions.exp,
        exp_exactly,
        (
            "0x1.fdff02p-17 0x1.8d7cb6p-12 0x1.cd3982p-14 0x1.747de2p-15 0x1.344e9cp-5 0x1.62b666p+1 0x1.036492p+1 "
            "0x1.cb763ap-12 0x1.fbff82p-18 0x1.112856p+6 -0x1.d2259ap+3 -0x1.e1dbe2p-8 -0x1.65cf30p+6 -0x1.c1c4b8p-10 "
            "-0x1.0p-25 -0x1.548c34p-7 -0x1.f02a66p+1 -0x1.6e1dd0p-8 -0x1.7acc62p+3 -0x1.71e81ep-6 -0x1.7f4296p+0"
        ),
    ),
    "tanh": (
        functions.tanh,
        tanh_exactly,
        (
            "0x1.86fbc4p-10 0x1.dc0accp-2 0x1.a83722p-6 0x1.5969a0p+2 0x1.8bd194p+2 0x1.f860aap-5 0x1.2d5c5cp-6 "
            "0x1.4ddf04p+2 0x1.416cfep-1 0x1.f178fcp+0 0x1.279b08p+1 0x1.916c0ap-8"
        ),
    ),
    "rsqrt": (
        functions.rsqrt,
        rsqrt_exactly,
        "0x1.7431c6p+1 0x1.13e070p+1 0x1.fffffcp+1 0x1.745472p+0 0x1.a4411ep+0 0x1.da6460p+0 0x1.14b90cp+0",
    ),
}
"""Of all fp32 arguments, those whose exact result is nearest to the middle of two floats."""


@pytest.mark.parametrize("name", HARDEST)
def test_the_arguments_that_are_hardest_to_round_are_rounded_correctly(name: str) -> None:
    function, exact, arguments = HARDEST[name]
    assert_correctly_rounded(function, exact, np.array([float.fromhex(x) for x in arguments.split()], np.float32))


SPECIAL = np.array([math.inf, -math.inf, math.nan, 0.0, -0.0, -1.0, 1e-45, 3.4e38, -3.4e38], np.float32)
SPECIAL_RESULTS: dict[UnaryOp, str] = {
    "Exp": "[inf, 0.0, nan, 1.0, 1.0, 0.3678794503211975, 1.0, inf, 0.0]",
    "TanH": "[1.0, -1.0, nan, 0.0, -0.0, -0.7615941762924194, 1.401298464324817e-45, 1.0, -1.0]",
    "RSqrt": "[0.0, nan, nan, inf, -inf, nan, 2.671373844909537e+22, 5.423261698422461e-20, nan]",
}


@pytest.mark.parametrize("op", SPECIAL_RESULTS)
def test_special_cases(op: UnaryOp) -> None:
    assert str(apply_unary(op, DataType.FP32, SPECIAL).tolist()) == SPECIAL_RESULTS[op]


def test_exp_overflows_and_vanishes_where_it_must() -> None:
    largest = np.array([88.72283], np.float32)
    assert functions.exp(largest) < math.inf
    assert functions.exp(np.nextafter(largest, np.float32(100))) == math.inf
    smallest = np.array([-103.97208], np.float32)
    assert functions.exp(smallest) == np.float32(2.0**-149)
    assert functions.exp(np.nextafter(smallest, np.float32(-200))) == 0


@pytest.mark.parametrize("op", SPECIAL_RESULTS)
def test_fp16_is_the_fp32_result_rounded(op: UnaryOp) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    result = apply_unary(op, DataType.FP16, finite)
    with np.errstate(over="ignore"):
        expected = apply_unary(op, DataType.FP32, finite.astype(np.float32)).astype(np.float16)
    assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("function", [functions.exp, functions.tanh, functions.rsqrt])
def test_leading_axes_are_kept_and_the_argument_too(function: Callable[[Float32s], Float32s]) -> None:
    x = np.linspace(0.5, 3, 12, dtype=np.float32)
    rows = x.reshape(3, 1, 4)
    assert function(rows).tobytes() == function(x).tobytes()
    assert function(rows).shape == rows.shape
    assert x.tobytes() == np.linspace(0.5, 3, 12, dtype=np.float32).tobytes()


def test_the_table_of_powers_is_exact_to_a_float64_and_its_tail() -> None:
    bits = functions.POWER_BITS + (np.arange(128) << 45)
    for j, (power, tail) in enumerate(zip(bits.view(np.float64).tolist(), functions.POWER_TAILS.tolist(), strict=True)):
        whole = Fraction(power) * (1 + Fraction(tail))
        assert abs(whole**128 / 2**j - 1) < Fraction(1, 1 << 95)
