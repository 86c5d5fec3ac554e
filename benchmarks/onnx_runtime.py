"""onnxruntime in float32, as `decode.py` compares it."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.config import read_graph
from lpu_backend.graph.nodes import Attend

PROMPT_TOKENS = 16


class OnnxRuntime:
    """Keys and values stay in onnxruntime's own arrays, from one pass to the next."""

    def __init__(self, file: Path, folder: Path, threads: int) -> None:
        import onnxruntime

        self._api: Any = onnxruntime
        options = self._api.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = self._api.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        graph = read_graph(folder)
        attend = next(node for node in graph.layers[0] if isinstance(node, Attend))
        self._cache_shape = (attend.kv_heads, 0, attend.head_dim)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def decode(self, streams: int, tokens: int) -> float:
        logits, caches = self._run(np.tile(np.arange(PROMPT_TOKENS), (streams, 1)), PROMPT_TOKENS, None)
        started_s = time.perf_counter()
        for position in range(PROMPT_TOKENS, PROMPT_TOKENS + tokens):
            logits, caches = self._run(logits.argmax(axis=1)[:, None], position + 1, caches)
        return streams * tokens / (time.perf_counter() - started_s)

    def prefill(self, tokens: int) -> float:
        started_s = time.perf_counter()
        self._run(np.arange(tokens)[None] % 1_000, tokens, None)
        return tokens / (time.perf_counter() - started_s)

    def _run(self, ids: NDArray[np.int64], end: int, caches: list[Any] | None) -> tuple[NDArray[np.float32], list[Any]]:
        """`end` is how many tokens each sequence has after these."""
        wrap = self._api.OrtValue.ortvalue_from_numpy
        if caches is None:
            empty = np.zeros((len(ids), *self._cache_shape), np.float32)
            caches = [wrap(empty) for _ in self._outputs[1:]]
        feeds = {f"past_{name}": cache for name, cache in zip(self._outputs[1:], caches, strict=True)}
        feeds["ids"] = wrap(np.ascontiguousarray(ids))
        feeds["last_positions"] = wrap(np.full(len(ids), end - 1, np.int32))
        feeds["tokens"] = wrap(np.array(end, np.int32))
        logits, *caches = self._session.run_with_ort_values(self._outputs, feeds)
        return logits.numpy(), caches
