"""The chip's arithmetic: int8 weights, keys and values, activations of two int8 planes, whole sums, fp32 elsewhere.

Everything is a product of the MXM, whose sums are exact, or one of the VXM's fp32 operations in the order written here.
So the bits do not depend on the host, its libraries, or on how many rows are computed together.
"""

from dataclasses import dataclass

import numpy as np

from lpu_backend.arithmetic.functions import exp_in_range, rsqrt_in_range, tanh_in_range
from lpu_backend.arithmetic.planes import (
    Planes,
    PlaneWeights,
    multiply_columns,
    multiply_rows,
    quantise,
    split_planes,
    sum_counts,
    sum_squares,
)
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.numerics import Floats, Linear

_ONE = np.float32(1.0)
_MOST_COUNT_BITS = 24
_SUM_BITS = 31


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

    name = "weights int8, activations int8 x 2, keys int8, values int8, version 1"

    def __init__(self, context_window_tokens: int) -> None:
        """Probabilities are counted in steps so fine that a full context's sum still fits int32."""
        bits = min(_MOST_COUNT_BITS, _SUM_BITS - context_window_tokens.bit_length())
        self._share_steps = np.float32(2.0**bits)

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        return ChipLinear(PlaneWeights(weight), bias)

    def prepare(self, rows: Floats) -> Planes:
        return split_planes(rows)

    def normalise(self, rows: Floats, epsilon: np.float32) -> Planes:
        """The norm's factor goes into the scale, so that the normalised rows themselves are never made."""
        split = split_planes(rows)
        squares = sum_squares(split)
        squares *= split.scale
        squares *= split.scale
        squares *= np.float32(1.0 / rows.shape[1])
        squares += epsilon
        return Planes(split.planes, split.scale * rsqrt_in_range(squares))

    def activate(self, half_gate: Floats, up: Floats) -> Planes:
        """silu(g) = (g / 2) (1 + tanh(g / 2)), which cannot overflow and needs no division."""
        activated = tanh_in_range(half_gate)
        activated += _ONE
        activated *= half_gate
        activated *= up
        return split_planes(activated)

    def store(self, cache: KvCache, layer: int, keys: Floats, values: Floats) -> None:
        rows = slice(cache.length_tokens, cache.length_tokens + keys.shape[1])
        for vectors, codes, scales in (
            (keys, cache.keys, cache.key_scales),
            (values, cache.values, cache.value_scales),
        ):
            codes[layer, :, rows], scales[layer, :, rows, None] = quantise(vectors)

    def attend(
        self, queries: Floats, cache: KvCache, layer: int, mask: Floats | None, *, context_tokens: int
    ) -> Floats:
        """The values' scales go into the probabilities, whose sum divides at the end: a row at a time, and exact."""
        context = slice(context_tokens)
        split = split_planes(queries)
        scores = multiply_rows(split, cache.keys[layer, :, context])
        scores *= cache.key_scales[layer, :, None, context]
        scores *= split.scale
        if mask is not None:
            by_token = scores.reshape(len(scores), len(mask), -1, context_tokens)
            by_token += mask
        scores -= scores.max(axis=2, keepdims=True)
        shares = exp_in_range(scores)
        divisor = rsqrt_in_range(sum_counts(shares, self._share_steps))
        shares *= cache.value_scales[layer, :, None, context]
        split = split_planes(shares)
        mixed = multiply_columns(split, cache.values[layer, :, context])
        divisor *= divisor
        divisor *= self._share_steps
        divisor *= split.scale
        mixed *= divisor
        return mixed
