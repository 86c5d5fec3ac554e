"""The ChatModel of a checkpoint folder: generation over the runtime."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from lpu_backend.answer import Answer
from lpu_backend.chip import GROQCHIP1
from lpu_backend.config import CONFIG_FILE, GENERATION_CONFIG_FILE, read_end_of_turn_ids, read_graph
from lpu_backend.engine.batch_engine import BatchEngine
from lpu_backend.exceptions import PromptError
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.runtime.kernel_model import KernelModel
from lpu_backend.runtime.numerics import Numerics
from lpu_backend.runtime.page_pool import PAGE_TOKENS
from lpu_backend.serving_program import ServingProgram, divide_served_model
from lpu_backend.tensors import check_weight_files, list_weight_files, read_tensors
from lpu_backend.tokenizer import TOKENIZER_FILE, CheckpointTokenizer, make_tokenizer
from lpu_backend.types import EmulatedTime, Engine, SamplingParams, Step, require_room_for_one_token

CACHE_BYTES = 512 * 2**20
"""Of an engine's keys and values, at most (chosen): once so many were written, a worker keeps that much memory."""


class CheckpointModel:
    """A ChatModel. Everything here is read-only after loading; a generation's state is in its iterator."""

    def __init__(
        self,
        runtime: GraphModel,
        tokenizer: CheckpointTokenizer,
        end_of_turn_ids: frozenset[int],
        program: ServingProgram,
    ) -> None:
        self.runtime = runtime
        self.tokenizer = tokenizer
        self.context_window = tokenizer.context_window
        self.program_hash = program.program_hash
        self.program = program
        self._vocabulary = tokenizer.make_vocabulary(end_of_turn_ids)

    def emulate(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> EmulatedTime:
        return self.program.emulate(
            prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, cached_tokens=cached_tokens
        )

    def make_engine(self, max_batch: int) -> Engine:
        """With a cache for as many whole contexts, or what fits in CACHE_BYTES: one at least."""
        context_pages = -(-self.context_window // PAGE_TOKENS)
        bound_pages = CACHE_BYTES // self.runtime.make_pool(1).page_bytes
        pages = max(context_pages, min(max_batch * context_pages, bound_pages))
        return BatchEngine(self.runtime, self.make_answer, max_batch=max_batch, pages=pages)

    def generate(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Yield the answer token by token. Raises PromptError at the call."""
        return self._iterate_steps(tuple(prompt_ids), self.make_answer(prompt_ids, params))

    def make_answer(self, prompt_ids: Sequence[int], params: SamplingParams) -> Answer:
        """An answer of no tokens yet. Raises PromptError if the model cannot take the prompt."""
        require_room_for_one_token(len(prompt_ids), self.context_window)
        vocabulary = self.runtime.graph.vocabulary
        if min(prompt_ids) < 0 or max(prompt_ids) >= vocabulary:
            raise PromptError(f"a prompt id lies outside the vocabulary of {vocabulary} tokens")
        limit_tokens = min(params.max_completion_tokens, self.context_window - len(prompt_ids))
        return Answer(self._vocabulary, params, prompt_tokens=len(prompt_ids), limit_tokens=limit_tokens)

    def _iterate_steps(self, prompt_ids: Sequence[int], answer: Answer) -> Iterator[Step]:
        cache = self.runtime.make_cache()
        logits = self.runtime.advance(prompt_ids, cache)
        while True:
            yield (step := answer.choose(logits))
            if step.finish_reason is not None:
                return
            logits = self.runtime.advance([step.token_id], cache)


def read_model(
    folder: Path,
    numerics: Numerics | None = None,
    chips: int | None = None,
    programs: Path | None = None,
    threads: int = 1,
) -> CheckpointModel:
    """Load a checkpoint folder: all of it is checked before the weights are read. Raises CheckpointError.

    Served in the chip's numerics, by kernels on so many threads; others, by numpy, are for comparison. `chips` are
    those of the program, the fewest if None; `programs` is where compiled ones are kept. CompileError if the chips are
    too few.
    """
    graph = read_graph(folder)
    tokenizer = make_tokenizer(folder, graph)
    end_of_turn_ids = read_end_of_turn_ids(folder)
    files = list_weight_files(folder)
    check_weight_files(files, graph)
    division, _ = divide_served_model(graph, chips)

    hasher = _start_program_hash(folder, tokenizer, division.chips, numerics or ChipNumerics(graph.context_window))
    tensors = read_tensors(files, hasher)
    runtime = GraphModel(graph, tensors, numerics) if numerics else KernelModel(graph, tensors, threads)
    program = ServingProgram(hasher.hexdigest(), graph, division.chips, folder, programs)
    return CheckpointModel(runtime, tokenizer, end_of_turn_ids, program)


def _start_program_hash(
    folder: Path, tokenizer: CheckpointTokenizer, chips: int, numerics: Numerics
) -> "hashlib._Hash":
    """Hash of all but the weights, each part preceded by its length, so that no two sets of parts read alike."""
    parts = [msgspec.json.encode(asdict(GROQCHIP1), order="deterministic"), tokenizer.template.source.encode()]
    parts += [numerics.name.encode(), f"{chips} chips".encode()]
    for name in (CONFIG_FILE, GENERATION_CONFIG_FILE, TOKENIZER_FILE):
        path = folder / name
        parts.append(path.read_bytes() if path.is_file() else b"")
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little") + part)
    return hasher
