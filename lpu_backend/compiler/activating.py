"""Element-wise functions as steps of a Map. docs/numerics.md, "Functions"."""

import math
from collections.abc import Callable

from lpu_backend.arithmetic.gelu import GELU_COEFFICIENTS, GELU_LARGEST_SQUARE
from lpu_backend.compiler.agreeing import FP32
from lpu_backend.compiler.building import MapBuilder, number
from lpu_backend.compiler.vector_program import Argument, Of
from lpu_backend.graph.function_nodes import Function


def activate(m: MapBuilder, function: Function, x: Argument) -> Of:
    """`function` of x: at most eleven steps, one operand."""
    return _FUNCTIONS[function](m, x)


def _gelu(m: MapBuilder, x: Argument) -> Of:
    """Through TanH of an odd polynomial, whose argument's square is bounded so that it cannot turn."""
    first, second, third = (number(value) for value in GELU_COEFFICIENTS)
    square = m.op("Min", FP32, m.op("Mul", FP32, x, x), number(GELU_LARGEST_SQUARE))
    inner = m.op("Add", FP32, m.op("Mul", FP32, square, third), second)
    inner = m.op("Add", FP32, m.op("Mul", FP32, inner, square), first)
    return _weigh_by_tangent(m, x, m.op("Mul", FP32, inner, x))


def _gelu_tanh(m: MapBuilder, x: Argument) -> Of:
    cube = m.op("Mul", FP32, m.op("Mul", FP32, x, x), x)
    inner = m.op("Add", FP32, m.op("Mul", FP32, cube, number(0.044715)), x)
    return _weigh_by_tangent(m, x, m.op("Mul", FP32, inner, number(math.sqrt(2 / math.pi))))


def _silu(m: MapBuilder, x: Argument) -> Of:
    half = m.op("Mul", FP32, x, number(0.5))
    return m.op("Mul", FP32, m.op("Add", FP32, m.op("TanH", FP32, half), number(1.0)), half)


def _sigmoid(m: MapBuilder, x: Argument) -> Of:
    tangent = m.op("TanH", FP32, m.op("Mul", FP32, x, number(0.5)))
    return m.op("Mul", FP32, m.op("Add", FP32, tangent, number(1.0)), number(0.5))


def _weigh_by_tangent(m: MapBuilder, x: Argument, inner: Of) -> Of:
    """(TanH(inner) + 1) * (x * 0.5)."""
    half = m.op("Mul", FP32, x, number(0.5))
    return m.op("Mul", FP32, m.op("Add", FP32, m.op("TanH", FP32, inner), number(1.0)), half)


_FUNCTIONS: dict[Function, Callable[[MapBuilder, Argument], Of]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "sigmoid": _sigmoid,
    "relu": lambda m, x: m.op("ReLU", FP32, x),
    "tanh": lambda m, x: m.op("TanH", FP32, x),
    "exp": lambda m, x: m.op("Exp", FP32, x),
    "rsqrt": lambda m, x: m.op("RSqrt", FP32, x),
}

IS_ZERO_AT_ZERO: frozenset[Function] = frozenset({"gelu", "gelu_tanh", "silu", "relu", "tanh"})
"""Functions that leave lanes without a channel at zero."""
