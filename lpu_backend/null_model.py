"""null-16: sixteen fixed tokens at once, to measure the path around a model. It computes nothing and says so."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lpu_backend.chip import GROQCHIP1
from lpu_backend.cluster import ModelFit
from lpu_backend.exceptions import ConstraintError
from lpu_backend.serial_engine import SerialEngine
from lpu_backend.text_release import TextRelease
from lpu_backend.tool_calls.formats import HERMES
from lpu_backend.types import (
    Constraint,
    EmulatedTime,
    Engine,
    FinishReason,
    SamplingParams,
    Step,
    StepLogprobs,
    TokenLogprob,
    require_room_for_one_token,
)

NULL_MODEL_ID = "null-16"
MODE_NULL = "null"
CONTEXT_WINDOW_TOKENS = 8_192
BYTES_PER_PROMPT_TOKEN = 4
# One chip that holds nothing, and no bound that the path around the model could meet.
NULL_FIT = ModelFit(
    chips=1,
    minimum_chips=1,
    bytes_per_chip=0,
    max_batch=100_000,
    context_window_tokens=CONTEXT_WINDOW_TOKENS,
    mode=MODE_NULL,
)

_WORDS = tuple(f" tok{index:02d}" for index in range(16))


class NullTokenizer:
    """Counts a prompt token per four bytes of content, and one per message."""

    context_window = CONTEXT_WINDOW_TOKENS

    vocabulary_tokens = len(_WORDS)
    tool_format = HERMES

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """As many zeros as the messages count tokens."""
        content_bytes = sum(len(message["content"].encode()) for message in messages)
        return [0] * (len(messages) + -(-content_bytes // BYTES_PER_PROMPT_TOKEN))

    def check_constraint(self, constraint: Constraint) -> None:
        """Sixteen fixed tokens are in no format."""
        raise ConstraintError(f"{NULL_MODEL_ID} computes nothing, so it cannot be held to a format or call functions")


class NullModel:
    """A ChatModel that ignores the prompt. Stop strings and token limits work as in any other."""

    context_window = CONTEXT_WINDOW_TOKENS
    program_hash = hashlib.sha256(NULL_MODEL_ID.encode()).hexdigest()

    def __init__(self) -> None:
        self.tokenizer = NullTokenizer()

    def make_engine(self, max_batch: int) -> Engine:
        return SerialEngine(self.generate, max_batch)

    def generate(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Yield the sixteen tokens, or fewer. Raises PromptError, ConstraintError at the call."""
        require_room_for_one_token(len(prompt_ids), self.context_window)
        if params.constraint is not None:
            self.tokenizer.check_constraint(params.constraint)
        return self._iterate_steps(params, self.context_window - len(prompt_ids))

    def _iterate_steps(self, params: SamplingParams, room_tokens: int) -> Iterator[Step]:
        release = TextRelease(params.stop)
        limit_tokens = min(params.max_completion_tokens, room_tokens, len(_WORDS))
        for index, word in enumerate(_WORDS[:limit_tokens]):
            text = release.push(word.encode())
            finish_reason: FinishReason | None = None
            if release.is_stopped or index + 1 == len(_WORDS):
                finish_reason = "stop"
            elif index + 1 == limit_tokens:
                finish_reason = "length"
            if finish_reason is not None and not release.is_stopped:
                text += release.flush()
            yield Step(index, index, text, finish_reason, _logprobs_of(index, params))
            if finish_reason is not None:
                return

    def emulate(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> EmulatedTime:
        """One cycle a token on one chip: a stand-in with no meaning, under a mode of its own."""
        cycles = prompt_tokens + completion_tokens
        seconds = cycles / GROQCHIP1.clock_hz
        return EmulatedTime(
            chips=1,
            cycles=cycles,
            seconds=seconds,
            tokens_per_second=completion_tokens / seconds,
            program_hash=self.program_hash,
            mode=MODE_NULL,
            saved_cycles=cached_tokens,
        )


def _logprobs_of(index: int, params: SamplingParams) -> StepLogprobs | None:
    """Nothing but its own token could have come, so that one is certain."""
    if params.top_logprobs is None:
        return None
    certain = TokenLogprob(index, _WORDS[index].encode(), 0.0)
    return StepLogprobs(certain, (certain,) * min(params.top_logprobs, 1))
