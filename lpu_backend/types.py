"""The values and protocols that callers of the package see."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from lpu_backend.exceptions import PromptError, SamplingParamsError
from lpu_backend.tool_calls.formats import ToolFormat

MAX_STOP_STRINGS = 4
MAX_TOP_LOGPROBS = 20
MAX_PENALTY = 2.0
MAX_LOGIT_BIAS = 100.0

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer must be: any JSON object, JSON of a schema, or text of a grammar (llguidance's Lark). `source` is
    the schema as JSON, or the grammar; nothing for an object."""

    kind: Literal["json_object", "json_schema", "grammar"]
    source: str = ""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen.

    Temperature 0 takes the largest logit, the lowest id on a tie; top_p keeps the smallest set of most likely tokens
    that reaches this probability (at least one); top_k (0: all) and min_p (a share of the likeliest one's probability)
    narrow it further. Penalties count the answer's tokens alone. `logit_bias` is pairs of token id and what is added.
    `top_logprobs` None asks for no log-probabilities, 0 for those of sampled tokens, more for the likeliest too. Any
    whole number is a seed; it is taken modulo 2**64. Raises SamplingParamsError outside the ranges.
    """

    max_completion_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_logprobs: int | None = None
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        rules = (
            (self.max_completion_tokens >= 1, "max_completion_tokens must be at least 1"),
            (0.0 <= self.temperature < float("inf"), "temperature must be a finite number of at least 0"),
            (0.0 <= self.top_p <= 1.0, "top_p must lie between 0 and 1"),
            (
                len(self.stop) <= MAX_STOP_STRINGS and "" not in self.stop,
                f"stop takes at most {MAX_STOP_STRINGS} strings, none of them empty",
            ),
            (self.top_k >= 0, "top_k must be at least 0"),
            (0.0 <= self.min_p <= 1.0, "min_p must lie between 0 and 1"),
            (abs(self.frequency_penalty) <= MAX_PENALTY, "frequency_penalty must lie between -2 and 2"),
            (abs(self.presence_penalty) <= MAX_PENALTY, "presence_penalty must lie between -2 and 2"),
            (
                all(token_id >= 0 and abs(bias) <= MAX_LOGIT_BIAS for token_id, bias in self.logit_bias),
                "logit_bias takes token ids of at least 0 and numbers between -100 and 100",
            ),
            (len(dict(self.logit_bias)) == len(self.logit_bias), "logit_bias names a token more than once"),
            (
                self.top_logprobs is None or 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS,
                f"top_logprobs must lie between 0 and {MAX_TOP_LOGPROBS}",
            ),
        )
        for holds, message in rules:
            if not holds:
                raise SamplingParamsError(message)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its bytes, and the natural logarithm of its probability at temperature 1 before anything narrows it."""

    token_id: int
    token_bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class StepLogprobs:
    """The sampled token's, and those of the likeliest, likeliest first."""

    sampled: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One sampled token.

    `index` is its 0-based position in the answer. `text` is what this step releases: empty for a special token, an
    incomplete UTF-8 character, the possible beginning of a stop string, or text that a stop string hides. The texts of
    all steps join to the decoded answer (up to a stop string); a character that the last token cut off is U+FFFD.
    `finish_reason` is set on the last step only.
    """

    index: int
    token_id: int
    text: str
    finish_reason: FinishReason | None
    logprobs: StepLogprobs | None = None


@dataclass(frozen=True, slots=True)
class EmulatedTime:
    """What the emulated chips would have taken for one request, alone on the machine.

    `tokens_per_second` is completion tokens over `seconds`, prefill included. `mode` names the origin of the cycles:
    "schedule" is compiled schedules, "null" a model that computes nothing. `cycles` find nothing cached; `saved_cycles`
    of them were those of prompt tokens whose keys and values were there already.
    """

    chips: int
    cycles: int
    seconds: float
    tokens_per_second: float
    program_hash: str
    mode: str
    saved_cycles: int = 0


class Generation(Protocol):
    """One answer that an engine makes."""

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt whose keys and values were there already: known once its first step was produced."""

    @property
    def digest(self) -> str:
        """SHA-256 over the ids and logits of all steps so far; empty unless it was asked for."""


class Produced(NamedTuple):
    """What one tick made of one generation: the next steps in order, or why there will be none."""

    generation: Generation
    steps: list[Step]
    error: Exception | None = None


class EngineLoad(NamedTuple):
    """What an engine has to do, and what its cache is worth.

    Pages are used by running answers, cached for those to come, or free. `hit_tokens` of all prompts were found in the
    cache, `missed_tokens` were computed; `preemptions` counts answers that gave their pages back to older ones.
    """

    running: int
    waiting: int
    used_pages: int = 0
    cached_pages: int = 0
    free_pages: int = 0
    hit_tokens: int = 0
    missed_tokens: int = 0
    preemptions: int = 0


class Engine(Protocol):
    """Computes many answers together; none depends on who shares its batch. For one thread at a time."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to compute."""

    def load(self) -> EngineLoad:
        """Figures of this moment."""

    def submit(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        made_ids: Sequence[int] = (),
        wants_digest: bool = False,
        cache_salt: bytes = b"",
    ) -> Generation:
        """Take an answer into the batch. With `made_ids`, its first tokens, it goes on with the next one; if they
        are a whole answer, its last step is made again.

        Only prompts of the same `cache_salt` share keys and values. Raises PromptError, SamplingParamsError.
        """

    def cancel(self, generation: Generation) -> None:
        """Forget it, if it has not ended."""

    def tick(self) -> list[Produced]:
        """One step of the batch. A generation has ended with the step that has a finish reason, or with an error."""


class ChatTokenizer(Protocol):
    """Turns messages into prompt ids without touching the weights."""

    @property
    def context_window(self) -> int:
        """Prompt and answer together hold at most this many tokens."""

    @property
    def vocabulary_tokens(self) -> int:
        """Ids are below this number."""

    @property
    def tool_format(self) -> ToolFormat:
        """How the model writes calls of functions."""

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Ids of the rendered chat template, generation prompt added.

        Messages and tools have the shapes of the OpenAI API, with text for content. Raises ChatTemplateError.
        """

    def check_constraint(self, constraint: Constraint) -> None:
        """Raises ConstraintError, which says why, unless answers can be held to it."""


class ChatModel(Protocol):
    """A loaded model. Safe to share between threads: what belongs to one generation lives in its iterator."""

    @property
    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer of this model's prompts."""

    @property
    def context_window(self) -> int:
        """Prompt and answer together hold at most this many tokens."""

    @property
    def program_hash(self) -> str:
        """SHA-256 (64 hex digits) over all that decides the answers and the cycles."""

    def generate(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Yield the answer token by token, never past the context window (finish_reason "length").

        Raises PromptError at the call, not at the first step. Closing the iterator frees the KV cache.
        """

    def make_engine(self, max_batch: int) -> Engine:
        """A new engine, which computes at most so many answers at once; more wait."""

    def emulate(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> EmulatedTime:
        """What the emulated chips would have taken for these token counts, and what cached ones of the prompt save."""


def require_room_for_one_token(prompt_tokens: int, context_window_tokens: int) -> None:
    """Raise PromptError unless a prompt of this length leaves room for an answer of one token."""
    if prompt_tokens < 1:
        raise PromptError("the prompt has no tokens")
    if prompt_tokens + 1 > context_window_tokens:
        raise PromptError(
            f"the prompt has {prompt_tokens} tokens, which leaves no room for an answer in a context window of "
            f"{context_window_tokens} tokens"
        )
