"""The Llama forward pass in float32: prefill of many tokens and decode of one are the same code."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lpu_backend.config import ModelConfig
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.rope import compute_rotations
from lpu_backend.runtime.weights import Floats, LayerWeights, ModelWeights

# Bounds the memory of the attention scores: heads x 512 x context floats.
PREFILL_CHUNK_TOKENS = 512


class LlamaModel:
    """Read-only once made, so any number of threads may run it, each with a KvCache of its own."""

    def __init__(self, config: ModelConfig, weights: ModelWeights) -> None:
        self.config = config
        self._weights = weights
        self._inverse_frequencies = config.rope().inverse_frequencies(config.head_width)
        self._rms_norm_eps = np.float32(config.rms_norm_eps)

    def advance(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """Run the tokens, which follow those in the cache; return the logits after the last one, shape [vocabulary]."""
        hidden = np.empty(0, dtype=np.float32)
        for start in range(0, len(token_ids), PREFILL_CHUNK_TOKENS):
            hidden = self.compute_hidden(token_ids[start : start + PREFILL_CHUNK_TOKENS], cache)
        last: Floats = self.compute_logits(hidden[-1:])[0]
        return last

    def compute_hidden(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """Normalised output of the last layer for each token, shape [tokens, hidden]; appends to the cache."""
        tokens = len(token_ids)
        cache.reserve(tokens)
        rows: Floats = self._weights.embedding[np.asarray(token_ids)]
        rotations = compute_rotations(self._inverse_frequencies, cache.length_tokens, tokens)
        mask = _make_causal_mask(cache.length_tokens, tokens)
        for index, layer in enumerate(self._weights.layers):
            rows += self._attend(index, layer, self._normalise(rows), cache, rotations, mask)
            rows += self._apply_mlp(layer, self._normalise(rows))
        cache.length_tokens += tokens
        return self._normalise(rows)

    def compute_logits(self, hidden: Floats) -> Floats:
        """Shape [tokens, hidden] to [tokens, vocabulary]."""
        return self._weights.lm_head(hidden)

    def _normalise(self, rows: Floats) -> Floats:
        """RMSNorm without its weights, which the following matrix holds."""
        mean_squares = np.vecdot(rows, rows)[:, None] * np.float32(1.0 / rows.shape[1])
        normalised: Floats = rows / np.sqrt(mean_squares + self._rms_norm_eps)
        return normalised

    def _attend(
        self,
        index: int,
        layer: LayerWeights,
        rows: Floats,
        cache: KvCache,
        rotations: NDArray[np.complex64],
        mask: Floats | None,
    ) -> Floats:
        heads, kv_heads, head_dim = self.config.query_heads, self.config.kv_heads, self.config.head_width
        tokens, group = len(rows), heads // kv_heads
        qkv = layer.qkv(rows)
        rotated, values = qkv[:, : (heads + kv_heads) * head_dim], qkv[:, (heads + kv_heads) * head_dim :]
        pairs = rotated.view(np.complex64).reshape(tokens, heads + kv_heads, head_dim // 2)
        pairs *= rotations

        end = cache.length_tokens + tokens
        queries = rotated[:, : heads * head_dim].reshape(tokens, kv_heads, group, head_dim)
        keys = rotated[:, heads * head_dim :].reshape(tokens, kv_heads, head_dim)
        cache.keys[index, :, cache.length_tokens : end] = keys.swapaxes(0, 1)
        cache.values[index, :, cache.length_tokens : end] = values.reshape(tokens, kv_heads, head_dim).swapaxes(0, 1)

        by_kv_head = queries.swapaxes(0, 1).reshape(kv_heads, tokens * group, head_dim)
        mixed = _mix_values(by_kv_head, cache.keys[index, :, :end], cache.values[index, :, :end], mask)
        by_token = mixed.reshape(kv_heads, tokens, group, head_dim).swapaxes(0, 1)
        return layer.attention_output(by_token.reshape(tokens, heads * head_dim))

    def _apply_mlp(self, layer: LayerWeights, rows: Floats) -> Floats:
        gate_up = layer.gate_up(rows)
        inner = self.config.intermediate_size
        half_gate, up = gate_up[:, :inner], gate_up[:, inner:]
        # silu(g) = g / (1 + exp(-g)) = (g / 2) * (1 + tanh(g / 2)), which cannot overflow.
        activated = np.tanh(half_gate)
        activated += np.float32(1.0)
        activated *= half_gate
        activated *= up
        return layer.down(activated)


def _make_causal_mask(cached_tokens: int, tokens: int) -> Floats | None:
    """Zero where row may see column, else -inf; shape [tokens, 1, cached + tokens]. One row sees everything."""
    if tokens == 1:
        return None
    rows, columns = np.arange(cached_tokens, cached_tokens + tokens), np.arange(cached_tokens + tokens)
    hidden = columns[None, None, :] > rows[:, None, None]
    mask: Floats = np.where(hidden, np.float32(-np.inf), np.float32(0.0))
    return mask


def _mix_values(queries: Floats, keys: Floats, values: Floats, mask: Floats | None) -> Floats:
    """Softmax attention: queries [kv_heads, tokens * group, head_dim], the others [kv_heads, context, head_dim]."""
    scores: Floats = queries @ keys.swapaxes(1, 2)
    if mask is not None:
        by_token = scores.reshape(len(scores), len(mask), -1, scores.shape[2])
        by_token += mask
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    # Dividing after the product touches head_dim columns in place of the whole context.
    mixed: Floats = scores @ values
    mixed /= scores.sum(axis=2, keepdims=True)
    return mixed
