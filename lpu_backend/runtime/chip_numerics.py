"""The chip's arithmetic: int8 weights, keys and values, activations of two int8 planes, whole sums, fp32 elsewhere.

Everything is a product of the MXM, whose sums are exact, or one of the VXM's fp32 operations in the order written here.
So the bits do not depend on the host, its libraries, or on how many rows are computed together.
"""

from dataclasses import dataclass

import numpy as np

from lpu_backend.arithmetic.functions import exp_in_range, rsqrt_in_range, tanh_in_range
from lpu_backend.arithmetic.planes import (
    Codes,
    Planes,
    PlaneWeights,
    multiply_columns,
    multiply_rows,
    round_codes,
    split_planes,
    sum_counts,
    sum_squares,
)
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.numerics import Floats, Linear

_ONE = np.array(1.0, np.float32)
_MOST_COUNT_BITS = 18
_SUM_BITS = 28
"""Exponentials are below 8: so many bits of a sum of counts are left to context and steps."""
_QUARTER, _FOUR = np.array(0.25, np.float32), np.array(4.0, np.float32)
_LEAST_COARSE, _MOST_COARSE = np.array(-128.0, np.float32), np.array(127.0, np.float32)


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

    def __init__(self, context_window_tokens: int) -> None:
        """Exponentials are counted in steps so fine that a full context's sum still fits int32."""
        bits = min(_MOST_COUNT_BITS, _SUM_BITS - context_window_tokens.bit_length())
        self._share_steps = np.array(2.0**bits, np.float32)

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        return ChipLinear(PlaneWeights(weight), bias)

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

    def attend(self, heads: Floats, cache: KvCache, layer: int, mask: Floats | None) -> Planes:
        """The values' scales go into the probabilities, whose sum divides at the end: a row at a time, and exact."""
        tokens, _, head_dim = heads.shape
        kv_heads = cache.kv_heads
        queries = _group_queries(split_planes(heads[:, : -2 * kv_heads]), kv_heads)
        codes, scales = _store(round_codes(heads[:, -2 * kv_heads :]), cache, layer)

        scores = multiply_rows(queries, codes[:kv_heads])
        scores *= scales[:kv_heads]
        scores *= queries.scale
        if mask is not None:
            by_token = scores.reshape(kv_heads, tokens, -1, mask.shape[2])
            by_token += mask
        shares, divisor = self._exponentiate(scores)
        shares *= scales[kv_heads:]
        split = split_planes(shares)
        mixed = multiply_columns(split, codes[kv_heads:])
        divisor *= split.scale
        mixed *= divisor
        by_head = mixed.reshape(kv_heads, tokens, -1, head_dim).swapaxes(0, 1)
        return split_planes(by_head.reshape(tokens, -1))

    def _exponentiate(self, scores: Floats) -> tuple[Floats, Floats]:
        """exp(score - a coarse largest), and one over their sum: one byte says it, so all lanes can know it."""
        coarse = np.maximum.reduce(scores, axis=2, keepdims=True)
        coarse *= _QUARTER
        np.rint(coarse, out=coarse)
        np.maximum(coarse, _LEAST_COARSE, out=coarse)
        np.minimum(coarse, _MOST_COARSE, out=coarse)
        coarse *= _FOUR
        scores -= coarse
        shares = exp_in_range(scores)
        divisor = rsqrt_in_range(sum_counts(shares, self._share_steps))
        divisor *= divisor
        divisor *= self._share_steps
        return shares, divisor


def _group_queries(split: Planes, kv_heads: int) -> Planes:
    """From [tokens, query heads, ...] to [kv_heads, tokens x query heads that share one, ...]."""
    tokens, _, planes, head_dim = split.planes.shape
    grouped = split.planes.reshape(tokens, kv_heads, -1, planes, head_dim).swapaxes(0, 1)
    scale = split.scale.reshape(tokens, kv_heads, -1, 1).swapaxes(0, 1)
    return Planes(grouped.reshape(kv_heads, -1, planes, head_dim), scale.reshape(kv_heads, -1, 1))


def _store(rounded: Codes, cache: KvCache, layer: int) -> tuple[Floats, Floats]:
    """Put the tokens' keys and values into the cache. Returns all codes, and scales as [..., 1, context]."""
    context = cache.length_tokens + len(rounded.codes)
    codes, scales = cache.vectors[layer, :, :context], cache.scales[layer, :, :context]
    codes[:, cache.length_tokens :] = rounded.codes.swapaxes(0, 1)
    scales[:, cache.length_tokens :] = rounded.scale[..., 0].swapaxes(0, 1)
    return codes, scales[:, None]
