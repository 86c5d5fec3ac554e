"""The forward pass of a model graph: prefill of many tokens and decode of one are the same code, in any numerics."""

from collections.abc import Sequence

import numpy as np

from lpu_backend.graph.folding import Tensors
from lpu_backend.graph.nodes import Attend, ModelGraph
from lpu_backend.graph.tensors import list_nodes
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.numerics import Floats, Numerics
from lpu_backend.runtime.page_pool import PAGE_TOKENS, CachedSequence, PagePool, TokenRun
from lpu_backend.runtime.planning import plan_steps
from lpu_backend.runtime.rope import RotationTable
from lpu_backend.runtime.sight import make_sight
from lpu_backend.runtime.steps import Run, SequenceRows, Values

# Bounds the memory of the attention scores (heads x 128 x context floats, in two planes) and the half of them that is
# masked; each pass reads all weights once.
PREFILL_CHUNK_TOKENS = 128
_FIRST_PAGES = 16
_NO_RUN = Run((), np.empty(0, np.float32))
"""The head looks at no other tokens."""


class GraphModel:
    """Read-only once made, so any number of threads may run it, each on pages of its own."""

    def __init__(self, graph: ModelGraph, tensors: Tensors, numerics: Numerics) -> None:
        self.graph = graph
        self._cache_type = numerics.cache_type
        self._embedding = tensors[graph.embed.table]
        self._embedding_factor = np.float32(graph.embed.factor)
        self._layers = [plan_steps(nodes, tensors, numerics) for nodes in graph.layers]
        self._head = plan_steps(graph.head, tensors, numerics)
        self._rotations = RotationTable(graph.rope)
        self._attends = [node for node in list_nodes(graph) if isinstance(node, Attend)]

    def make_pool(self, pages: int) -> PagePool:
        """An empty one, of so many pages of PAGE_TOKENS tokens."""
        first = self._attends[0]
        return PagePool(pages, len(self.graph.layers), first.kv_heads, first.head_dim, self._cache_type)

    def compute_hidden(self, runs: Sequence[TokenRun], pool: PagePool) -> Floats:
        """Output of the last layer for each token, the runs' one after the other: [tokens, hidden], not normalised.

        Puts the tokens' keys and values into their sequence's pages. A row's bits do not depend on the other runs, or
        on how a sequence is cut into runs. No two runs of a call may be of one sequence. ValueError if a run's pages
        cannot hold it, or its tokens are none.
        """
        for run in runs:
            if not run.token_ids or len(run.pages) * PAGE_TOKENS < run.end_position:
                raise ValueError(f"{len(run.pages)} pages cannot hold {run.end_position} tokens, or a run has none")
        return self._compute_layers(runs, pool)

    def compute_logits(self, hidden: Floats) -> Floats:
        """Shape [tokens, hidden] to [tokens, vocabulary]."""
        values: Values = {self.graph.head[0].inputs[0]: hidden}
        for step in self._head:
            step(values, _NO_RUN)
        logits: Floats = values[self.graph.head[-1].name]
        return logits

    # One sequence, in a pool of its own.

    def make_cache(self) -> KvCache:
        """An empty one, for one generation."""
        return KvCache(self.make_pool(_FIRST_PAGES))

    def extend(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """As `compute_hidden`, for tokens that follow those in the cache."""
        cache.reserve(len(token_ids))
        rows = self.compute_hidden([TokenRun(token_ids, cache.length_tokens, cache.pages)], cache.pool)
        cache.length_tokens += len(token_ids)
        return rows

    def advance(self, token_ids: Sequence[int], cache: KvCache) -> Floats:
        """Run the tokens, which follow those in the cache; return the logits after the last one, shape [vocabulary]."""
        hidden = np.empty(0, dtype=np.float32)
        for start in range(0, len(token_ids), PREFILL_CHUNK_TOKENS):
            hidden = self.extend(token_ids[start : start + PREFILL_CHUNK_TOKENS], cache)
        last: Floats = self.compute_logits(hidden[-1:])[0]
        return last

    def _compute_layers(self, runs: Sequence[TokenRun], pool: PagePool) -> Floats:
        rows = self._embed(runs)
        run = self._start(runs, pool)
        source = self.graph.embed.name
        for nodes, steps in zip(self.graph.layers, self._layers, strict=True):
            values: Values = {source: rows}
            for step in steps:
                step(values, run)
            source = nodes[-1].name
            rows = values[source]
        return rows

    def _embed(self, runs: Sequence[TokenRun]) -> Floats:
        rows: Floats = self._embedding[np.concatenate([np.asarray(run.token_ids) for run in runs])]
        if self._embedding_factor != 1.0:
            rows *= self._embedding_factor
        return rows

    def _start(self, runs: Sequence[TokenRun], pool: PagePool) -> Run:
        windows = {node.window for node in self._attends}
        sequences, end = [], 0
        for run in runs:
            start, end = end, end + len(run.token_ids)
            sights = {window: make_sight(run.first_position, len(run.token_ids), window) for window in windows}
            cached = CachedSequence(pool, run.pages, run.first_position)
            sequences.append(SequenceRows(slice(start, end), cached, sights))
        return Run(tuple(sequences), self._rotate(runs))

    def _rotate(self, runs: Sequence[TokenRun]) -> Floats:
        """The rotations of all tokens, as RotationTable.get gives them."""
        turned = [self._rotations.get(run.first_position, len(run.token_ids)) for run in runs]
        return turned[0] if len(turned) == 1 else np.concatenate(turned, axis=1)
