"""float32 with the libraries of this host: the reference that the chip's numerics are measured against."""

from dataclasses import dataclass

import numpy as np

from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.numerics import Floats, Linear


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

    def make_linear(self, weight: Floats, bias: Floats | None) -> Linear:
        return FloatLinear(np.ascontiguousarray(weight.T), bias)

    def normalise(self, rows: Floats, epsilon: np.float32) -> Floats:
        mean_squares = np.vecdot(rows, rows)[:, None] * np.float32(1.0 / rows.shape[1])
        normalised: Floats = rows / np.sqrt(mean_squares + epsilon)
        return normalised

    def activate(self, half_gate: Floats, up: Floats) -> Floats:
        # silu(g) = g / (1 + exp(-g)) = (g / 2) * (1 + tanh(g / 2)), which cannot overflow.
        activated = np.tanh(half_gate)
        activated += np.float32(1.0)
        activated *= half_gate
        activated *= up
        return activated

    def attend(self, heads: Floats, cache: KvCache, layer: int, mask: Floats | None) -> Floats:
        tokens, _, head_dim = heads.shape
        kv_heads = cache.kv_heads
        context = cache.length_tokens + tokens
        queries = heads[:, : -2 * kv_heads].reshape(tokens, kv_heads, -1, head_dim)
        cache.vectors[layer, :, cache.length_tokens : context] = heads[:, -2 * kv_heads :].swapaxes(0, 1)

        keys, values = cache.vectors[layer, :kv_heads, :context], cache.vectors[layer, kv_heads:, :context]
        scores: Floats = queries.swapaxes(0, 1).reshape(kv_heads, -1, head_dim) @ keys.swapaxes(1, 2)
        if mask is not None:
            by_token = scores.reshape(kv_heads, tokens, -1, context)
            by_token += mask
        scores -= scores.max(axis=2, keepdims=True)
        np.exp(scores, out=scores)
        # Dividing after the product touches head_dim columns in place of the whole context.
        mixed: Floats = scores @ values
        mixed /= scores.sum(axis=2, keepdims=True)
        by_head: Floats = mixed.reshape(kv_heads, tokens, -1, head_dim).swapaxes(0, 1)
        return by_head.reshape(tokens, -1)
