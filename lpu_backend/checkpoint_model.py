"""The ChatModel of a checkpoint folder: generation over the runtime."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.config import CONFIG_FILE, GENERATION_CONFIG_FILE, read_end_of_turn_ids, read_graph
from lpu_backend.exceptions import PromptError
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.runtime.numerics import Numerics
from lpu_backend.runtime.sampling import sample_token
from lpu_backend.tensors import check_weight_files, list_weight_files, read_tensors
from lpu_backend.text_release import TextRelease
from lpu_backend.timing import ModelShape, TimingModel, count_chips, estimate_time, shape_of
from lpu_backend.tokenizer import TOKENIZER_FILE, CheckpointTokenizer, make_tokenizer
from lpu_backend.types import EmulatedTime, FinishReason, SamplingParams, Step, require_room_for_one_token


@dataclass(frozen=True)
class Program:
    """What the emulated chips run: the shape that decides the time, the chip, and the hash that names them all."""

    program_hash: str
    shape: ModelShape
    chip: ChipSpec = GROQCHIP1
    timing: TimingModel = estimate_time
    chips: int | None = None

    def emulate(self, *, prompt_tokens: int, completion_tokens: int) -> EmulatedTime:
        """Time of one request; an answer of no tokens counts its prefill and no speed."""
        counted_tokens = max(completion_tokens, 1)
        timing = self.timing(
            self.shape, self.chip, prompt_tokens=prompt_tokens, completion_tokens=counted_tokens, chips=self.chips
        )
        seconds = timing.cycles / self.chip.clock_hz
        return EmulatedTime(
            chips=timing.chips,
            cycles=timing.cycles,
            seconds=seconds,
            tokens_per_second=completion_tokens / seconds,
            program_hash=self.program_hash,
            mode=timing.mode,
        )


class CheckpointModel:
    """A ChatModel. Everything here is read-only after loading; a generation's state is in its iterator."""

    def __init__(
        self, runtime: GraphModel, tokenizer: CheckpointTokenizer, end_of_turn_ids: frozenset[int], program: Program
    ) -> None:
        self.runtime = runtime
        self.tokenizer = tokenizer
        self.context_window = tokenizer.context_window
        self.program_hash = program.program_hash
        self._program = program
        self._end_of_turn_ids = end_of_turn_ids
        self._token_bytes = tokenizer.list_token_bytes(runtime.graph.vocabulary)

    def emulate(self, *, prompt_tokens: int, completion_tokens: int) -> EmulatedTime:
        return self._program.emulate(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)

    def generate(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Yield the answer token by token. Raises PromptError at the call."""
        require_room_for_one_token(len(prompt_ids), self.context_window)
        vocabulary = self.runtime.graph.vocabulary
        if min(prompt_ids) < 0 or max(prompt_ids) >= vocabulary:
            raise PromptError(f"a prompt id lies outside the vocabulary of {vocabulary} tokens")
        limit_tokens = min(params.max_completion_tokens, self.context_window - len(prompt_ids))
        return self._iterate_steps(tuple(prompt_ids), params, limit_tokens)

    def _iterate_steps(self, prompt_ids: Sequence[int], params: SamplingParams, limit_tokens: int) -> Iterator[Step]:
        cache = self.runtime.make_cache()
        release = TextRelease(params.stop, drops_first_space=self.tokenizer.drops_first_space)
        logits = self.runtime.advance(prompt_ids, cache)
        for index in range(limit_tokens):
            token_id = sample_token(logits, params, position=len(prompt_ids) + index)
            is_last = index + 1 == limit_tokens
            yield (step := self._make_step(index, token_id, release, is_last))
            if step.finish_reason is not None:
                return
            logits = self.runtime.advance([token_id], cache)

    def _make_step(self, index: int, token_id: int, release: TextRelease, is_last: bool) -> Step:
        is_end_of_turn = token_id in self._end_of_turn_ids
        text = "" if is_end_of_turn else release.push(self._token_bytes[token_id])
        finish_reason: FinishReason | None = None
        if is_end_of_turn or release.is_stopped:
            finish_reason = "stop"
        elif is_last:
            finish_reason = "length"
        if finish_reason is not None and not release.is_stopped:
            text += release.flush()
        return Step(index=index, token_id=token_id, text=text, finish_reason=finish_reason)


def read_model(folder: Path, numerics: Numerics | None = None, chips: int | None = None) -> CheckpointModel:
    """Load a checkpoint folder: all of it is checked before the weights are read. Raises CheckpointError.

    Served in the chip's numerics; others are for comparison. `chips` are those of the program, the fewest if None.
    """
    graph = read_graph(folder)
    tokenizer = make_tokenizer(folder, graph)
    end_of_turn_ids = read_end_of_turn_ids(folder)
    files = list_weight_files(folder)
    check_weight_files(files, graph)

    numerics = numerics or ChipNumerics(graph.context_window)
    hasher = _start_program_hash(folder, tokenizer, GROQCHIP1, numerics)
    runtime = GraphModel(graph, read_tensors(files, hasher), numerics)
    program = _make_program(hasher, shape_of(graph), chips)
    return CheckpointModel(runtime, tokenizer, end_of_turn_ids, program)


def _make_program(hasher: "hashlib._Hash", shape: ModelShape, chips: int | None) -> Program:
    """On more chips than need be it is another program: the same answers after other cycles."""
    if chips is None or chips == count_chips(shape, GROQCHIP1):
        return Program(hasher.hexdigest(), shape)
    hasher.update(f"on {chips} chips".encode())
    return Program(hasher.hexdigest(), shape, chips=chips)


def _start_program_hash(
    folder: Path, tokenizer: CheckpointTokenizer, chip: ChipSpec, numerics: Numerics
) -> "hashlib._Hash":
    """Hash of all but the weights, each part preceded by its length, so that no two sets of parts read alike."""
    parts = [msgspec.json.encode(asdict(chip), order="deterministic"), tokenizer.template.source.encode()]
    parts.append(numerics.name.encode())
    for name in (CONFIG_FILE, GENERATION_CONFIG_FILE, TOKENIZER_FILE):
        path = folder / name
        parts.append(path.read_bytes() if path.is_file() else b"")
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little") + part)
    return hasher
