"""float32 with the libraries of this host: the reference that the chip's numerics are measured against."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpu_backend.graph.function_nodes import Function
from lpu_backend.graph.nodes import Activation, Attend
from lpu_backend.runtime.numerics import Floats, Linear, Sight
from lpu_backend.runtime.page_pool import CachedSequence


@dataclass(frozen=True, slots=True)
class FloatLinear:
    """`rows @ weight + bias`; weight [inputs, outputs], which is the faster way round for one row."""

    weight: Floats
    bias: Floats | None

    def __call__(self, rows: Floats) -> Floats:
        outputs: Floats = rows @ self.weight
        if self.bias is not None:
            outputs += self.bias
        return outputs


class FloatNumerics:
    """The same bits on one host only: sums and functions are BLAS's and numpy's."""

    name = "float32"
    cache_type = np.float32

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        return FloatLinear(np.ascontiguousarray(weight.T), bias)

    def prepare(self, rows: Floats) -> Floats:
        return rows

    def normalise(self, rows: Floats, epsilon: np.float32) -> Floats:
        return self.apply_norm(rows, epsilon, None)

    def apply_norm(self, rows: Floats, epsilon: np.float32, weight: Floats | None) -> Floats:
        mean_squares = np.vecdot(rows, rows)[..., None] * np.float32(1.0 / rows.shape[-1])
        normalised: Floats = rows / np.sqrt(mean_squares + epsilon)
        if weight is not None:
            normalised *= weight
        return normalised

    def apply_layer_norm(self, rows: Floats, epsilon: float, weight: Floats | None, bias: Floats | None) -> Floats:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        normalised = self.apply_norm(centred, np.float32(epsilon), weight)
        return normalised if bias is None else normalised + bias

    def activate(self, function: Function, rows: Floats) -> Floats:
        """Of the families' functions only GELU is outside a gate. ValueError for others."""
        if function != "gelu":
            raise ValueError(f"the function {function} is not computed")
        erf = np.vectorize(math.erf, otypes=[np.float32])(rows * np.float32(math.sqrt(0.5)))
        gelu: Floats = (erf + np.float32(1.0)) * rows * np.float32(0.5)
        return gelu

    def take_rows(self, rows: Floats, tokens: NDArray[np.intp]) -> Floats:
        return rows[tokens]

    def gate(self, activation: Activation, gate: Floats, up: Floats) -> Floats:
        if activation == "clamped_swiglu":
            up = np.clip(up, np.float32(-7.0), np.float32(7.0)) + np.float32(1.0)
        activated = _activate(activation, gate)
        activated *= up
        return activated

    def cap(self, x: Floats, cap: float) -> Floats:
        capped: Floats = np.float32(cap) * np.tanh(x / np.float32(cap))
        return capped

    def attend(
        self, node: Attend, heads: Floats, cached: CachedSequence, sight: Sight, sinks: Floats | None = None
    ) -> Floats:
        tokens, _, head_dim = heads.shape
        kv_heads = node.kv_heads
        end = cached.length_tokens + tokens
        queries = heads[:, : -2 * kv_heads].reshape(tokens, kv_heads, -1, head_dim)
        cached.store(node.layer, heads[:, -2 * kv_heads :])
        stored, _ = cached.read(node.layer, sight.first, end)

        keys, values = stored[:kv_heads], stored[kv_heads:]
        scores: Floats = queries.swapaxes(0, 1).reshape(kv_heads, -1, head_dim) @ keys.swapaxes(1, 2)
        if node.softcap is not None:
            scores = self.cap(scores, node.softcap)
        if sight.mask is not None:
            by_token = scores.reshape(kv_heads, tokens, -1, end - sight.first)
            by_token += sight.mask
        largest = scores.max(axis=2, keepdims=True)
        if sinks is not None:
            by_row = np.tile(sinks.reshape(kv_heads, 1, -1), (1, tokens, 1)).reshape(kv_heads, -1, 1)
            largest = np.maximum(largest, by_row)
        scores -= largest
        np.exp(scores, out=scores)
        total = scores.sum(axis=2, keepdims=True)
        if sinks is not None:
            total += np.exp(by_row - largest)
        # Dividing after the product touches head_dim columns in place of the whole context.
        mixed: Floats = scores @ values
        mixed /= total
        by_head: Floats = mixed.reshape(kv_heads, tokens, -1, head_dim).swapaxes(0, 1)
        return by_head.reshape(tokens, -1)

    def weigh_experts(self, scores: Floats, chosen: NDArray[np.bool_], *, renormalise: bool) -> Floats:
        scores -= scores.max(axis=1, keepdims=True)
        shares: Floats = np.exp(scores)
        kept: Floats = np.where(chosen, shares, np.float32(0.0))
        total: Floats = kept if renormalise else shares
        weights: Floats = kept / total.sum(axis=1, keepdims=True)
        return weights


def _activate(activation: Activation, gate: Floats) -> Floats:
    if activation == "silu":
        # silu(g) = g / (1 + exp(-g)) = (g / 2) * (1 + tanh(g / 2)), which cannot overflow; `gate` is g / 2.
        activated: Floats = (np.tanh(gate) + np.float32(1.0)) * gate
        return activated
    if activation == "gelu_tanh":
        inner: Floats = (gate + gate * gate * gate * np.float32(0.044715)) * np.float32(math.sqrt(2 / math.pi))
        gelu: Floats = (np.tanh(inner) + np.float32(1.0)) * gate * np.float32(0.5)
        return gelu
    if activation == "clamped_swiglu":
        clamped: Floats = np.minimum(gate, np.float32(7.0))
        swish: Floats = clamped / (np.exp(clamped * np.float32(-1.702)) + np.float32(1.0))
        return swish
    raise ValueError(f"the activation {activation} is not computed")
