"""Values of the job path."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from lpu_backend import Constraint


@dataclass(frozen=True, slots=True)
class CallMade:
    """A call of a function that an earlier answer made; `arguments` is text, and JSON if the model wrote it well."""

    id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `tool_calls` are an assistant's; `tool_call_id` and `name` belong to what a tool answered."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = field(repr=False)
    tool_calls: tuple[CallMade, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The functions that an answer may call, or must, in the shape of the API."""

    tools: tuple[dict[str, Any], ...] = field(repr=False)
    is_forced: bool = False
    is_parallel: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tool["function"]["name"] for tool in self.tools)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One validated chat completion request. `None` means that the caller did not say."""

    model: str
    messages: tuple[Message, ...]
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = field(default=(), repr=False)
    max_completion_tokens: int | None = None
    is_stream: bool = False
    include_usage: bool = False
    service_tier: str | None = None
    choices: int = 1
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_logprobs: int | None = None
    constraint: Constraint | None = field(default=None, repr=False)
    tool_use: ToolUse | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the dispatch of a job goes by: where it may run, beside how many others, for whom, and until when.

    `deployment_id` 0 is a model without a deployment; `max_batch` 0 is no bound. `deadline_at_ms` is Unix time.
    """

    request_id: str
    model_id: str
    organization_id: str
    service_tier: str = "on_demand"
    deployment_id: int = 0
    max_batch: int = 0
    deadline_at_ms: int = 2**53


class Held(NamedTuple):
    """What a process holds of a job: its lease, and a slot of its deployment (0: a model without one)."""

    request_id: str
    deployment_id: int


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that this process holds from now on, with what Redis knows of it."""

    held: Held
    is_cancelled: bool
    is_late: bool
    has_stream: bool
    sealed_prompt: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class QueueStanding:
    """Jobs that begin before a waiting one, and how long they take, in milliseconds, if that is known."""

    jobs_ahead: int
    expected_wait_ms: int | None


@dataclass(frozen=True, slots=True)
class JobHandle:
    """What a reader of a job's stream needs. The key opens the payload, so it stays out of `repr`."""

    request_id: str
    model: str
    seed: int
    created_at_s: int
    payload_key: bytes = field(repr=False)

    @property
    def completion_id(self) -> str:
        return f"chatcmpl-{self.request_id.removeprefix('req_')}"


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One sampled token; its text may be empty."""

    index: int
    text: str = field(repr=False)
    program_hash: str = ""
    choice: int = 0
    finish_reason: str = ""
    logprobs: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EndEvent:
    """The end of a job, after it was settled. Times are wall-clock seconds; `emulated` is the x_lpu object."""

    state: str
    finish_reason: str
    error_code: str
    prompt_tokens: int
    completion_tokens: int
    cost_pusd: int
    queue_time: float
    prompt_time: float
    completion_time: float
    emulated: dict[str, str | int | float]
    cached_tokens: int = 0


JobEvent = TokenEvent | EndEvent

BucketWidth = Literal["1m", "1h", "1d"]
UsageGroup = Literal["model", "project_id", "api_key_id"]


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Billed requests of one bucket. What `group_by` does not name is None, and so is the key of the playground."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_pusd: int
    model: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    cached_tokens: int = 0  # of the prompt's


@dataclass(frozen=True, slots=True)
class UsageBucket:
    """Usage of jobs created from `start_at` (inclusive) to `end_at` (exclusive); no rows where there were no jobs."""

    start_at: datetime
    end_at: datetime
    rows: list[UsageRow]


@dataclass(frozen=True, slots=True)
class ChoiceAnswer:
    """What came out for one choice of a job. `digest` is the engine's, over ids and logits; empty if it has none."""

    token_ids: tuple[int, ...] = field(repr=False)
    text: str = field(repr=False)
    finish_reason: str
    digest: str = ""
