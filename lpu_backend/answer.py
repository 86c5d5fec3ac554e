"""One answer in the making: from logits to steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lpu_backend.constraints import ConstraintMatcher, GrammarTokenizer
from lpu_backend.exceptions import ConstraintError
from lpu_backend.runtime.logit_rules import LogitRules
from lpu_backend.runtime.logprobs import Logprobs
from lpu_backend.runtime.numerics import Floats
from lpu_backend.runtime.sampling import sample_token
from lpu_backend.text_release import TextRelease
from lpu_backend.types import FinishReason, SamplingParams, Step, StepLogprobs, TokenLogprob


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What an answer needs to know of a tokenizer. `special_names` are how log-probabilities show special tokens, which
    have no bytes of their own."""

    token_bytes: Sequence[bytes]
    end_of_turn_ids: frozenset[int]
    drops_first_space: bool = False
    special_names: Mapping[int, bytes] = field(default_factory=dict)
    grammar: GrammarTokenizer | None = None

    def start_constraint(self, params: SamplingParams) -> ConstraintMatcher | None:
        """Raises ConstraintError for a constraint that cannot be kept."""
        if params.constraint is None:
            return None
        if self.grammar is None:
            raise ConstraintError("answers of this model cannot be held to a format")
        return self.grammar.start(params.constraint)


class Answer:
    """State of one generation beside its keys and values."""

    def __init__(
        self, vocabulary: Vocabulary, params: SamplingParams, *, prompt_tokens: int, limit_tokens: int
    ) -> None:
        """At most `limit_tokens` tokens follow a prompt of `prompt_tokens`. Raises SamplingParamsError."""
        self._vocabulary, self._params = vocabulary, params
        self._prompt_tokens, self._limit_tokens = prompt_tokens, limit_tokens
        self._release = TextRelease(params.stop, drops_first_space=vocabulary.drops_first_space)
        self._rules = LogitRules(params, len(vocabulary.token_bytes))
        self._matcher = vocabulary.start_constraint(params)
        self.tokens_made = 0

    def choose(self, logits: Floats) -> Step:
        """The next token of logits [vocabulary], which are left as they are.

        Raises ConstraintError where a grammar that seemed possible has no token to go on with.
        """
        allowed = self._matcher.list_allowed() if self._matcher else None
        position = self._prompt_tokens + self.tokens_made
        token_id = sample_token(self._rules.apply(logits), self._params, position, allowed)
        step = self.add(token_id)
        if self._params.top_logprobs is None or token_id in self._vocabulary.end_of_turn_ids:
            return step
        return replace(step, logprobs=self._list_logprobs(logits, token_id, self._params.top_logprobs))

    def add(self, token_id: int) -> Step:
        """A token that is known, of an answer that was begun elsewhere: it has no log-probabilities any more."""
        self.tokens_made += 1
        self._rules.count(token_id)
        is_end_of_turn = token_id in self._vocabulary.end_of_turn_ids
        text = "" if is_end_of_turn else self._release.push(self._vocabulary.token_bytes[token_id])
        finish_reason: FinishReason | None = None
        if is_end_of_turn or self._release.is_stopped or self._completes(token_id):
            finish_reason = "stop"
        elif self.tokens_made == self._limit_tokens:
            finish_reason = "length"
        if finish_reason is not None and not self._release.is_stopped:
            text += self._release.flush()
        return Step(index=self.tokens_made - 1, token_id=token_id, text=text, finish_reason=finish_reason)

    def _completes(self, token_id: int) -> bool:
        """Whether the constraint lets nothing follow this token."""
        if self._matcher is None:
            return False
        self._matcher.accept(token_id)
        return self._matcher.is_complete

    def _list_logprobs(self, logits: Floats, token_id: int, top: int) -> StepLogprobs:
        logprobs = Logprobs(logits)
        shown = [token_id, *logprobs.list_likeliest(top)]
        sampled, *likeliest = (TokenLogprob(each, self._show(each), logprobs.of(each)) for each in shown)
        return StepLogprobs(sampled, tuple(likeliest))

    def _show(self, token_id: int) -> bytes:
        return self._vocabulary.special_names.get(token_id, self._vocabulary.token_bytes[token_id])
