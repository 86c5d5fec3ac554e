"""Activations of gates, step by step: docs/numerics.md, "Gate"."""

import math
from collections.abc import Callable

from lpu_backend.compiler.agreeing import FP32
from lpu_backend.compiler.building import MapBuilder, number
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.vector_program import Argument, Of
from lpu_backend.graph.nodes import Activation

Activate = Callable[[MapBuilder, Argument, Argument], Of]
"""From gate and up to what they give together."""


def find_activation(name: str, activation: Activation) -> Activate:
    """Adds the steps of a gate to a Map. CompileError, with the node's name, for an activation that has none."""
    if activation not in _ACTIVATIONS:
        raise CompileError(f"{name}: the activation {activation} cannot be compiled yet")
    return _ACTIVATIONS[activation]


def _silu(m: MapBuilder, half_gate: Argument, up: Argument) -> Of:
    activated = m.op("Mul", FP32, m.op("Add", FP32, m.op("TanH", FP32, half_gate), number(1.0)), half_gate)
    return m.op("Mul", FP32, activated, up)


def _gelu_tanh(m: MapBuilder, gate: Argument, up: Argument) -> Of:
    cube = m.op("Mul", FP32, m.op("Mul", FP32, gate, gate), gate)
    inner = m.op("Add", FP32, m.op("Mul", FP32, cube, number(0.044715)), gate)
    tangent = m.op("TanH", FP32, m.op("Mul", FP32, inner, number(math.sqrt(2 / math.pi))))
    half = m.op("Mul", FP32, gate, number(0.5))
    return m.op("Mul", FP32, m.op("Mul", FP32, m.op("Add", FP32, tangent, number(1.0)), half), up)


def _clamped_swiglu(m: MapBuilder, gate: Argument, up: Argument) -> Of:
    clamped = m.op("Min", FP32, gate, number(7.0))
    tangent = m.op("TanH", FP32, m.op("Mul", FP32, clamped, number(1.702 / 2)))
    half = m.op("Mul", FP32, clamped, number(0.5))
    activated = m.op("Mul", FP32, m.op("Add", FP32, tangent, number(1.0)), half)
    within = m.op("Max", FP32, m.op("Min", FP32, up, number(7.0)), number(-7.0))
    return m.op("Mul", FP32, activated, m.op("Add", FP32, within, number(1.0)))


_ACTIVATIONS: dict[str, Activate] = {"silu": _silu, "gelu_tanh": _gelu_tanh, "clamped_swiglu": _clamped_swiglu}
