"""Element-wise functions in the VXM's fp32 steps. docs/numerics.md, "Functions"."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import exp, rsqrt, tanh
from lpu_backend.arithmetic.gelu import gelu
from lpu_backend.graph.function_nodes import Function

Floats = NDArray[np.float32]
_ONE, _HALF = np.float32(1.0), np.float32(0.5)


def apply_function(function: Function, x: Floats) -> Floats:
    """`function` of each element."""
    return _FUNCTIONS[function](x)


def _gelu_tanh(x: Floats) -> Floats:
    inner = (x * x * x * np.float32(0.044715) + x) * np.float32(math.sqrt(2 / math.pi))
    result: Floats = (tanh(inner) + _ONE) * (x * _HALF)
    return result


def _silu(x: Floats) -> Floats:
    half = x * _HALF
    result: Floats = (tanh(half) + _ONE) * half
    return result


def _sigmoid(x: Floats) -> Floats:
    result: Floats = (tanh(x * _HALF) + _ONE) * _HALF
    return result


def _relu(x: Floats) -> Floats:
    positive: Floats = np.maximum(x, np.float32(0.0)) + np.float32(0.0)
    return positive


_FUNCTIONS: dict[Function, Callable[[Floats], Floats]] = {
    "gelu": gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "sigmoid": _sigmoid,
    "relu": _relu,
    "tanh": tanh,
    "exp": exp,
    "rsqrt": rsqrt,
}
