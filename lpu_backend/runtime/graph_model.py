"""The forward pass of a model graph: prefill of many tokens and decode of one are the same code, in any numerics."""

from collections.abc import Sequence

import numpy as np

from lpu_backend.graph.folding import Tensors
from lpu_backend.graph.nodes import Attend, ModelGraph
from lpu_backend.graph.tensors import list_nodes
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.numerics import Floats, Numerics
from lpu_backend.runtime.planning import plan_steps
from lpu_backend.runtime.rope import RotationTable
from lpu_backend.runtime.sight import make_sight
from lpu_backend.runtime.steps import Run, Values

# Bounds the memory of the attention scores (heads x 128 x context floats, in two planes) and the half of them that is
# masked; each pass reads all weights once.
PREFILL_CHUNK_TOKENS = 128
_NO_RUN = Run(KvCache(0, 0, 0), np.empty(0, np.float32), {})
"""The head looks at no other tokens."""


class GraphModel:
    """Read-only once made, so any number of threads may run it, each with a KvCache of its own."""

    def __init__(self, graph: ModelGraph, tensors: Tensors, numerics: Numerics) -> None:
        self.graph = graph
        self._embedding = tensors[graph.embed.table]
        self._embedding_factor = np.float32(graph.embed.factor)
        self._layers = [plan_steps(nodes, tensors, numerics) for nodes in graph.layers]
        self._head = plan_steps(graph.head, tensors, numerics)
        self._rotations = RotationTable(graph.rope)
        self._attends = [node for node in list_nodes(graph) if isinstance(node, Attend)]

    def make_cache(self) -> KvCache:
        """An empty one, for one generation."""
        first = self._attends[0]
        return KvCache(len(self.graph.layers), first.kv_heads, first.head_dim)

    def advance(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """Run the tokens, which follow those in the cache; return the logits after the last one, shape [vocabulary]."""
        hidden = np.empty(0, dtype=np.float32)
        for start in range(0, len(token_ids), PREFILL_CHUNK_TOKENS):
            hidden = self.compute_hidden(token_ids[start : start + PREFILL_CHUNK_TOKENS], cache)
        last: Floats = self.compute_logits(hidden[-1:])[0]
        return last

    def compute_hidden(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """Output of the last layer for each token, shape [tokens, hidden], not normalised; appends to the cache."""
        cache.reserve(len(token_ids))
        run = self._start(len(token_ids), cache)
        rows: Floats = self._embedding[np.asarray(token_ids)]
        if self._embedding_factor != 1.0:
            rows *= self._embedding_factor
        source = self.graph.embed.name
        for nodes, steps in zip(self.graph.layers, self._layers, strict=True):
            values: Values = {source: rows}
            for step in steps:
                step(values, run)
            source = nodes[-1].name
            rows = values[source]
        cache.length_tokens += len(token_ids)
        return rows

    def compute_logits(self, hidden: Floats) -> Floats:
        """Shape [tokens, hidden] to [tokens, vocabulary]."""
        values: Values = {self.graph.head[0].inputs[0]: hidden}
        for step in self._head:
            step(values, _NO_RUN)
        logits: Floats = values[self.graph.head[-1].name]
        return logits

    def _start(self, tokens: int, cache: KvCache) -> Run:
        windows = {node.window for node in self._attends}
        sights = {window: make_sight(cache.length_tokens, tokens, window) for window in windows}
        return Run(cache, self._rotations.get(cache.length_tokens, tokens), sights)
