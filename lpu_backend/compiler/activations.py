"""Activation functions as steps of a Map. docs/numerics.md, "Operations"."""

import math
from collections.abc import Callable

from lpu_backend.compiler.agreeing import FP32
from lpu_backend.compiler.building import MapBuilder, number
from lpu_backend.compiler.vector_program import Argument


def apply_silu(m: MapBuilder, half_gate: Argument) -> Argument:
    """Of twice `half_gate`, as the gate's matrix is halved."""
    return m.op("Mul", FP32, m.op("Add", FP32, m.op("TanH", FP32, half_gate), number(1.0)), half_gate)


def apply_gelu_tanh(m: MapBuilder, gate: Argument) -> Argument:
    """The approximation by TanH."""
    cube = m.op("Mul", FP32, m.op("Mul", FP32, gate, gate), gate)
    inner = m.op("Add", FP32, m.op("Mul", FP32, cube, number(0.044715)), gate)
    tangent = m.op("TanH", FP32, m.op("Mul", FP32, inner, number(math.sqrt(2 / math.pi))))
    half = m.op("Mul", FP32, gate, number(0.5))
    return m.op("Mul", FP32, m.op("Add", FP32, tangent, number(1.0)), half)


ACTIVATIONS: dict[str, Callable[[MapBuilder, Argument], Argument]] = {"silu": apply_silu, "gelu_tanh": apply_gelu_tanh}
