"""The runtimes that `decode.py` compares: each decodes and prefills the same checkpoint."""

import hashlib
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lpu_backend.config import read_graph
from lpu_backend.runtime.kernel_model import KernelModel
from lpu_backend.runtime.page_pool import PAGE_TOKENS, TokenRun
from lpu_backend.tensors import list_weight_files, read_tensors

PROMPT_TOKENS = 16
PREFILL_CHUNK_TOKENS = 128


class Runtime(Protocol):
    """A loaded checkpoint."""

    def decode(self, streams: int, tokens: int) -> float:
        """Tokens/s of so many streams together, greedily, `tokens` of each after a prompt of PROMPT_TOKENS."""

    def prefill(self, tokens: int) -> float:
        """Tokens/s of one prompt of this length, to the logits after its last token."""


class OurRuntime:
    """The kernels that serve."""

    def __init__(self, folder: Path, threads: int) -> None:
        tensors = read_tensors(list_weight_files(folder), hashlib.sha256())
        self.model = KernelModel(read_graph(folder), tensors, threads)
        self.model.wait_for_kernels()

    @property
    def weight_bytes(self) -> int:
        """That decoding one token reads."""
        return self.model.weight_bytes

    def decode(self, streams: int, tokens: int) -> float:
        pages_each = -(-(PROMPT_TOKENS + tokens) // PAGE_TOKENS)
        pool = self.model.make_pool(streams * pages_each)
        pages = np.arange(streams * pages_each, dtype=np.int32).reshape(streams, pages_each)
        prompts = [TokenRun(range(PROMPT_TOKENS), 0, own) for own in pages]
        hidden = self.model.compute_hidden(prompts, pool)[PROMPT_TOKENS - 1 :: PROMPT_TOKENS]
        following = self.model.compute_logits(hidden).argmax(axis=1).tolist()
        started_s = time.perf_counter()
        for position in range(PROMPT_TOKENS, PROMPT_TOKENS + tokens):
            runs = [TokenRun([token], position, own) for token, own in zip(following, pages, strict=True)]
            logits = self.model.compute_logits(self.model.compute_hidden(runs, pool))
            following = logits.argmax(axis=1).tolist()
        return streams * tokens / (time.perf_counter() - started_s)

    def prefill(self, tokens: int) -> float:
        pool = self.model.make_pool(-(-tokens // PAGE_TOKENS))
        pages = np.arange(pool.pages, dtype=np.int32)
        started_s = time.perf_counter()
        for start in range(0, tokens, PREFILL_CHUNK_TOKENS):
            ids = range(start % 1_000, start % 1_000 + min(PREFILL_CHUNK_TOKENS, tokens - start))
            hidden = self.model.compute_hidden([TokenRun(ids, start, pages)], pool)
        self.model.compute_logits(hidden[-1:])
        return tokens / (time.perf_counter() - started_s)


class TorchRuntime:
    """transformers in float32: its own model and cache, without `generate`'s overhead."""

    def __init__(self, folder: Path, threads: int) -> None:
        import torch
        import transformers

        self._torch, self._threads = torch, threads
        load: Any = transformers.AutoModelForCausalLM.from_pretrained
        self._model = load(folder, dtype=torch.float32).eval()

    def decode(self, streams: int, tokens: int) -> float:
        torch = self._torch
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            output = self._model(torch.arange(PROMPT_TOKENS).repeat(streams, 1), use_cache=True)
            started_s = time.perf_counter()
            for _ in range(tokens):
                following = output.logits[:, -1:].argmax(-1)
                output = self._model(following, past_key_values=output.past_key_values, use_cache=True)
            return streams * tokens / (time.perf_counter() - started_s)

    def prefill(self, tokens: int) -> float:
        torch = self._torch
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            started_s = time.perf_counter()
            self._model(torch.arange(tokens)[None] % 1_000, use_cache=True, logits_to_keep=1)
            return tokens / (time.perf_counter() - started_s)


class LlamaCppRuntime:
    """llama.cpp through the C interface of llama-cpp-python."""

    def __init__(self, file: Path, threads: int, most_streams: int, context_tokens: int) -> None:
        import llama_cpp

        self._api: Any = llama_cpp
        self._silence = self._api.llama_log_callback(lambda *_: None)
        self._api.llama_log_set(self._silence, None)
        parameters = self._api.llama_model_default_params()
        self._model = self._api.llama_model_load_from_file(str(file).encode(), parameters)
        settings = self._api.llama_context_default_params()
        settings.n_ctx = max(context_tokens, most_streams * 256)
        settings.kv_unified = True
        settings.n_batch = settings.n_ubatch = 512
        settings.n_seq_max = most_streams
        settings.n_threads = settings.n_threads_batch = threads
        self._context = self._api.llama_init_from_model(self._model, settings)
        self._vocabulary = self._api.llama_vocab_n_tokens(self._api.llama_model_get_vocab(self._model))
        self._batch = self._api.llama_batch_init(512, 0, most_streams)

    def decode(self, streams: int, tokens: int) -> float:
        self._clear()
        for stream in range(streams):
            self._run([(token, token, stream, False) for token in range(PROMPT_TOKENS)])
        following = [1] * streams
        started_s = time.perf_counter()
        for position in range(PROMPT_TOKENS, PROMPT_TOKENS + tokens):
            self._run([(token, position, stream, True) for stream, token in enumerate(following)])
            following = [int(self._logits(stream).argmax()) for stream in range(streams)]
        return streams * tokens / (time.perf_counter() - started_s)

    def prefill(self, tokens: int) -> float:
        self._clear()
        started_s = time.perf_counter()
        for start in range(0, tokens, 512):
            end = min(start + 512, tokens)
            self._run([(place % 1_000, place, 0, place == tokens - 1) for place in range(start, end)])
        self._logits(min(tokens, 512) - 1 if tokens <= 512 else (tokens - 1) % 512)
        return tokens / (time.perf_counter() - started_s)

    def _clear(self) -> None:
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)

    def _run(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Token, position, stream, and whether its logits are wanted."""
        self._batch.n_tokens = len(rows)
        for index, (token, position, stream, wants_logits) in enumerate(rows):
            self._batch.token[index] = token
            self._batch.pos[index] = position
            self._batch.n_seq_id[index] = 1
            self._batch.seq_id[index][0] = stream
            self._batch.logits[index] = wants_logits
        if self._api.llama_decode(self._context, self._batch) != 0:
            raise RuntimeError("llama.cpp refused a batch")

    def _logits(self, row: int) -> NDArray[np.float32]:
        pointer = self._api.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, (self._vocabulary,))
