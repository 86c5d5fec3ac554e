"""One answer in the making: from logits to steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from lpu_backend.runtime.numerics import Floats
from lpu_backend.runtime.sampling import sample_token
from lpu_backend.text_release import TextRelease
from lpu_backend.types import FinishReason, SamplingParams, Step


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What an answer needs to know of a tokenizer."""

    token_bytes: Sequence[bytes]
    end_of_turn_ids: frozenset[int]
    drops_first_space: bool = False


class Answer:
    """State of one generation beside its keys and values."""

    def __init__(
        self, vocabulary: Vocabulary, params: SamplingParams, *, prompt_tokens: int, limit_tokens: int
    ) -> None:
        """At most `limit_tokens` tokens follow a prompt of `prompt_tokens`."""
        self._vocabulary, self._params = vocabulary, params
        self._prompt_tokens, self._limit_tokens = prompt_tokens, limit_tokens
        self._release = TextRelease(params.stop, drops_first_space=vocabulary.drops_first_space)
        self.tokens_made = 0

    def choose(self, logits: Floats) -> Step:
        """The next token of logits [vocabulary], which are left as they are."""
        token_id = sample_token(logits, self._params, position=self._prompt_tokens + self.tokens_made)
        return self.add(token_id)

    def add(self, token_id: int) -> Step:
        """A token that is known, of an answer that was begun elsewhere."""
        self.tokens_made += 1
        is_end_of_turn = token_id in self._vocabulary.end_of_turn_ids
        text = "" if is_end_of_turn else self._release.push(self._vocabulary.token_bytes[token_id])
        finish_reason: FinishReason | None = None
        if is_end_of_turn or self._release.is_stopped:
            finish_reason = "stop"
        elif self.tokens_made == self._limit_tokens:
            finish_reason = "length"
        if finish_reason is not None and not self._release.is_stopped:
            text += self._release.flush()
        return Step(index=self.tokens_made - 1, token_id=token_id, text=text, finish_reason=finish_reason)
