"""The chip's arithmetic: int8 weights, keys and values, activations of two int8 planes, whole sums, fp32 elsewhere.

Everything is a product of the MXM, whose sums are exact, or one of the VXM's fp32 operations in the order of
docs/numerics.md. So the bits do not depend on the host, its libraries, or on how many rows are computed together.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import rsqrt_in_range, tanh_in_range
from lpu_backend.arithmetic.planes import Planes, PlaneWeights, split_planes, sum_squares
from lpu_backend.arithmetic.whole_sums import find_moments
from lpu_backend.graph.function_nodes import Function
from lpu_backend.graph.nodes import Activation, Attend
from lpu_backend.runtime.chip_attention import attend, cap_softly
from lpu_backend.runtime.chip_softmax import choose_steps, weigh_experts
from lpu_backend.runtime.element_functions import apply_function
from lpu_backend.runtime.numerics import Floats, Linear, Sight
from lpu_backend.runtime.page_pool import CachedSequence

_ONE, _HALF = np.array(1.0, np.float32), np.array(0.5, np.float32)
_GELU_CUBE = np.array(0.044715, np.float32)
_GELU_ROOT = np.array(math.sqrt(2 / math.pi), np.float32)
_SWIGLU_LIMIT = np.array(7.0, np.float32)
_SWIGLU_HALF_ALPHA = np.array(1.702 / 2, np.float32)


@dataclass(frozen=True, slots=True)
class ChipLinear:
    """Whole sums times the scales, then the bias."""

    weights: PlaneWeights
    bias: Floats | None

    def __call__(self, rows: Planes) -> Floats:
        outputs = self.weights.multiply(rows)
        if self.bias is not None:
            outputs += self.bias
        return outputs


class ChipNumerics:
    """Serving's arithmetic."""

    name = "weights int8, activations int8 x 2, keys int8, values int8, version 2"
    cache_type = np.int8

    def __init__(self, context_window_tokens: int) -> None:
        self._steps = choose_steps(context_window_tokens)

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        return ChipLinear(PlaneWeights(weight), bias)

    def prepare(self, rows: Floats) -> Planes:
        return split_planes(rows)

    def normalise(self, rows: Floats, epsilon: np.float32) -> Planes:
        """The norm's factor goes into the scale, so that the normalised rows themselves are never made."""
        split = split_planes(rows)
        return Planes(split.planes, split.scale * _find_roots(split, epsilon))

    def apply_norm(self, rows: Floats, epsilon: np.float32, weight: Floats | None) -> Floats:
        normed = rows * _find_roots(split_planes(rows), epsilon)
        if weight is not None:
            normed *= weight
        return normed

    def apply_layer_norm(self, rows: Floats, epsilon: float, weight: Floats | None, bias: Floats | None) -> Floats:
        mean, root = find_moments(split_planes(rows), epsilon)
        normed: Floats = (rows - mean) * root
        if weight is not None:
            normed *= weight
        if bias is not None:
            normed += bias
        return normed

    def activate(self, function: Function, rows: Floats) -> Floats:
        return apply_function(function, rows)

    def take_rows(self, rows: Planes, tokens: NDArray[np.intp]) -> Planes:
        return Planes(rows.planes[tokens], rows.scale[tokens])

    def gate(self, activation: Activation, gate: Floats, up: Floats) -> Floats:
        activated = _activate(activation, gate)
        activated *= _clamp_up(up) if activation == "clamped_swiglu" else up
        return activated

    def cap(self, x: Floats, cap: float) -> Floats:
        return cap_softly(x, cap)

    def attend(
        self, node: Attend, heads: Floats, cached: CachedSequence, sight: Sight, sinks: Floats | None = None
    ) -> Floats:
        return attend(node, heads, cached, sight, sinks, self._steps)

    def weigh_experts(self, scores: Floats, chosen: NDArray[np.bool_], *, renormalise: bool) -> Floats:
        return weigh_experts(scores, chosen, renormalise=renormalise)


def _find_roots(split: Planes, epsilon: np.float32) -> Floats:
    """One over the root of the mean square + epsilon, [..., 1]."""
    squares = sum_squares(split)
    squares *= split.scale
    squares *= split.scale
    squares *= np.float32(1.0 / split.planes.shape[-1])
    squares += epsilon
    return rsqrt_in_range(squares)


def _activate(activation: Activation, gate: Floats) -> Floats:
    """silu(g) = (g / 2) (1 + tanh(g / 2)), which cannot overflow and needs no division: `gate` is g / 2. Or GELU."""
    if activation == "silu":
        activated = tanh_in_range(gate)
        activated += _ONE
        activated *= gate
        return activated
    if activation == "gelu_tanh":
        cube = gate * gate
        cube *= gate
        cube *= _GELU_CUBE
        cube += gate
        cube *= _GELU_ROOT
        activated = tanh_in_range(cube)
        activated += _ONE
        activated *= gate * _HALF
        return activated
    if activation == "clamped_swiglu":
        clamped = np.minimum(gate, _SWIGLU_LIMIT)
        activated = tanh_in_range(clamped * _SWIGLU_HALF_ALPHA)
        activated += _ONE
        activated *= clamped * _HALF
        return activated
    raise ValueError(f"the activation {activation} is not computed")


def _clamp_up(up: Floats) -> Floats:
    clamped: Floats = np.minimum(up, _SWIGLU_LIMIT)
    np.maximum(clamped, -_SWIGLU_LIMIT, out=clamped)
    clamped += _ONE
    return clamped
