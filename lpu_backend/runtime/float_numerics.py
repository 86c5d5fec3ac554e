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

    def prepare(self, rows: Floats) -> Floats:
        return rows

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

    def store(self, cache: KvCache, layer: int, keys: Floats, values: Floats) -> None:
        rows = slice(cache.length_tokens, cache.length_tokens + keys.shape[1])
        cache.keys[layer, :, rows] = keys
        cache.values[layer, :, rows] = values

    def attend(
        self, queries: Floats, cache: KvCache, layer: int, mask: Floats | None, *, context_tokens: int
    ) -> Floats:
        scores: Floats = queries @ cache.keys[layer, :, :context_tokens].swapaxes(1, 2)
        if mask is not None:
            by_token = scores.reshape(len(scores), len(mask), -1, scores.shape[2])
            by_token += mask
        scores -= scores.max(axis=2, keepdims=True)
        np.exp(scores, out=scores)
        # Dividing after the product touches head_dim columns in place of the whole context.
        mixed: Floats = scores @ cache.values[layer, :, :context_tokens]
        mixed /= scores.sum(axis=2, keepdims=True)
        return mixed
