"""Activations of gates, step by step: docs/numerics.md, "Gate"."""

import math
from collections.abc import Callable

from lpu_backend.compiler.agreeing import FP32
from lpu_backend.compiler.building import MapBuilder, number
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.vector_program import Argument
from lpu_backend.graph.nodes import Activation

Activate = Callable[[MapBuilder, Argument], Argument]


def find_activation(name: str, activation: Activation) -> Activate:
    """Adds the steps of an activation to a Map. CompileError, with the node's name, for one that has none."""
    if activation not in _ACTIVATIONS:
        raise CompileError(f"{name}: the activation {activation} cannot be compiled yet")
    return _ACTIVATIONS[activation]


def _silu(m: MapBuilder, half_gate: Argument) -> Argument:
    return m.op("Mul", FP32, m.op("Add", FP32, m.op("TanH", FP32, half_gate), number(1.0)), half_gate)


def _gelu_tanh(m: MapBuilder, gate: Argument) -> Argument:
    cube = m.op("Mul", FP32, m.op("Mul", FP32, gate, gate), gate)
    inner = m.op("Add", FP32, m.op("Mul", FP32, cube, number(0.044715)), gate)
    tangent = m.op("TanH", FP32, m.op("Mul", FP32, inner, number(math.sqrt(2 / math.pi))))
    half = m.op("Mul", FP32, gate, number(0.5))
    return m.op("Mul", FP32, m.op("Add", FP32, tangent, number(1.0)), half)


_ACTIVATIONS: dict[str, Activate] = {"silu": _silu, "gelu_tanh": _gelu_tanh}
