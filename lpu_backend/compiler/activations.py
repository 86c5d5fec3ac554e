"""Element-wise functions and gates as steps of a Map. docs/numerics.md, "Functions" and "Gate"."""

import math
from collections.abc import Callable

from lpu_backend.arithmetic.gelu import GELU_COEFFICIENTS, GELU_LARGEST_SQUARE
from lpu_backend.compiler.agreeing import FP32
from lpu_backend.compiler.building import MapBuilder, number
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.vector_program import Argument, Of
from lpu_backend.graph.function_nodes import Function
from lpu_backend.graph.nodes import Activation

Activate = Callable[[MapBuilder, Argument, Argument], Of]
"""From gate and up to what they give together."""


def find_activation(name: str, activation: Activation) -> Activate:
    """Adds the steps of a gate to a Map. CompileError, with the node's name, for an activation that has none."""
    if activation not in _GATES:
        raise CompileError(f"{name}: the activation {activation} cannot be compiled yet")
    return _GATES[activation]


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


def _gate_silu(m: MapBuilder, half_gate: Argument, up: Argument) -> Of:
    activated = m.op("Mul", FP32, m.op("Add", FP32, m.op("TanH", FP32, half_gate), number(1.0)), half_gate)
    return m.op("Mul", FP32, activated, up)


def _gate_gelu_tanh(m: MapBuilder, gate: Argument, up: Argument) -> Of:
    return m.op("Mul", FP32, _gelu_tanh(m, gate), up)


def _gate_clamped_swiglu(m: MapBuilder, gate: Argument, up: Argument) -> Of:
    clamped = m.op("Min", FP32, gate, number(7.0))
    inner = m.op("Mul", FP32, clamped, number(1.702 / 2))
    within = m.op("Max", FP32, m.op("Min", FP32, up, number(7.0)), number(-7.0))
    return m.op("Mul", FP32, _weigh_by_tangent(m, clamped, inner), m.op("Add", FP32, within, number(1.0)))


_GATES: dict[str, Activate] = {"silu": _gate_silu, "gelu_tanh": _gate_gelu_tanh, "clamped_swiglu": _gate_clamped_swiglu}
