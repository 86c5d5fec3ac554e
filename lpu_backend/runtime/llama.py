"""The Llama forward pass: prefill of many tokens and decode of one are the same code, in the arithmetic it is given."""

from collections.abc import Sequence

import numpy as np

from lpu_backend.config import ModelConfig
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.numerics import Floats, Numerics, Operand
from lpu_backend.runtime.rope import RotationTable, rotate
from lpu_backend.runtime.weights import LayerWeights, Tensors, arrange_weights

# Bounds the memory of the attention scores (heads x 128 x context floats, in two planes) and the half of them that is
# masked; each pass reads all weights once.
PREFILL_CHUNK_TOKENS = 128


class LlamaModel:
    """Read-only once made, so any number of threads may run it, each with a KvCache of its own."""

    def __init__(self, config: ModelConfig, tensors: Tensors, numerics: Numerics) -> None:
        self.config = config
        self._numerics = numerics
        self._weights = arrange_weights(config, tensors, numerics)
        self._rotations = RotationTable(config.rope().inverse_frequencies(config.head_width))
        self._rms_norm_eps = np.float32(config.rms_norm_eps)

    def advance(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """Run the tokens, which follow those in the cache; return the logits after the last one, shape [vocabulary]."""
        hidden = np.empty(0, dtype=np.float32)
        for start in range(0, len(token_ids), PREFILL_CHUNK_TOKENS):
            hidden = self.compute_hidden(token_ids[start : start + PREFILL_CHUNK_TOKENS], cache)
        last: Floats = self.compute_logits(hidden[-1:])[0]
        return last

    def compute_hidden(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """Output of the last layer for each token, shape [tokens, hidden], not normalised; appends to the cache."""
        tokens = len(token_ids)
        cache.reserve(tokens)
        rows: Floats = self._weights.embedding[np.asarray(token_ids)]
        rotations = self._rotations.get(cache.length_tokens, tokens)
        mask = _make_causal_mask(cache.length_tokens, tokens)
        for index, layer in enumerate(self._weights.layers):
            rows += self._attend(index, layer, self._normalise(rows), cache, rotations, mask)
            rows += self._apply_mlp(layer, self._normalise(rows))
        cache.length_tokens += tokens
        return rows

    def compute_logits(self, hidden: Floats) -> Floats:
        """Shape [tokens, hidden] to [tokens, vocabulary]."""
        return self._weights.lm_head(self._normalise(hidden))

    def _normalise(self, rows: Floats) -> Operand:
        return self._numerics.normalise(rows, self._rms_norm_eps)

    def _attend(
        self,
        index: int,
        layer: LayerWeights,
        operand: Operand,
        cache: KvCache,
        rotations: Floats,
        mask: Floats | None,
    ) -> Floats:
        heads = layer.qkv(operand).reshape(len(rotations[0]), -1, self.config.head_width)
        rotated = heads[:, : self.config.query_heads + self.config.kv_heads]
        rotated[:] = rotate(rotated, rotations)
        return layer.attention_output(self._numerics.attend(heads, cache, index, mask))

    def _apply_mlp(self, layer: LayerWeights, operand: Operand) -> Floats:
        gate_up = layer.gate_up(operand)
        inner = self.config.intermediate_size
        return layer.down(self._numerics.activate(gate_up[:, :inner], gate_up[:, inner:]))


def _make_causal_mask(cached_tokens: int, tokens: int) -> Floats | None:
    """Zero where row may see column, else -inf; shape [tokens, 1, cached + tokens]. One row sees everything."""
    if tokens == 1:
        return None
    rows, columns = np.arange(cached_tokens, cached_tokens + tokens), np.arange(cached_tokens + tokens)
    hidden = columns[None, None, :] > rows[:, None, None]
    mask: Floats = np.where(hidden, np.float32(-np.inf), np.float32(0.0))
    return mask
