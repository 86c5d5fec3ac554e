"""From a request's body to a frozen ChatRequest. Every parameter is honoured or refused by name; none is ignored."""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from inference.exceptions import ApiError, invalid_request
from inference.message_schemas import (
    MAX_TOOLS,
    ChatMessage,
    FunctionTool,
    Name,
    ToolChoice,
    schema_text,
    to_messages,
    to_tool_use,
)
from inference.types import ChatRequest, Message
from lpu_backend import Constraint

MAX_STOP = 4
MAX_CHOICES = 8
MAX_TOP_LOGPROBS = 20
MAX_BIASES = 1024
MESSAGE_LENGTH = 300  # characters of an error message: a refused value is quoted by msgspec, however long it is

# Parameters of the OpenAI and Groq APIs that this version does not act on, each with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "reasoning_effort": ("none",),
    "reasoning_format": ("hidden",),
    "include_reasoning": (False,),
    "modalities": (["text"],),
    "metadata": ({},),
    "store": (False,),
    "verbosity": ("medium",),
    "documents": ([],),
    "search_settings": (),
    "compound_custom": (),
    "citation_options": ("disabled",),
    "disable_tool_validation": (False,),
    "exclude_domains": ([],),
    "include_domains": ([],),
    "prediction": (),
    "audio": (),
    "web_search_options": (),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "safety_identifier": (),
}


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_usage: bool = False


_TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Stop = Annotated[str, Meta(min_length=1, max_length=1000)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_TokenId = Annotated[str, Meta(pattern="^(0|[1-9][0-9]{0,9})$")]
_LogitBias = Annotated[dict[_TokenId, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=MAX_BIASES)]


class _JsonSchema(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class _TextFormat(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="text"):
    pass


class _ObjectFormat(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="json_object"):
    pass


class _SchemaFormat(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    json_schema: _JsonSchema


class _Sampling(msgspec.Struct, forbid_unknown_fields=True):
    """How tokens are chosen, and what is told of them."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    logit_bias: _LogitBias | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None


class _Body(_Sampling, forbid_unknown_fields=True, kw_only=True):
    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    tools: Annotated[list[FunctionTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _TextFormat | _ObjectFormat | _SchemaFormat | None = None
    stop: _Stop | Annotated[list[_Stop], Meta(max_length=MAX_STOP)] | None = None
    max_completion_tokens: _TokenCount | None = None
    max_tokens: _TokenCount | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    service_tier: Literal["auto", "default", "on_demand", "flex"] | None = None
    user: str | None = None


_UnsupportedFields = msgspec.defstruct(
    "_UnsupportedFields",
    [(name, Any, UNSET) for name in UNSUPPORTED],
    bases=(_Body,),
    forbid_unknown_fields=True,
    kw_only=True,
)
_decoder = msgspec.json.Decoder(_UnsupportedFields)


def parse_chat_request(body: bytes) -> ChatRequest:
    """The request that a body asks for.

    Raises ApiError (400) that names the parameter at fault, or says that the body is not JSON.
    """
    try:
        parsed = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_request("The request body is not valid JSON.", code="invalid_json") from None
    _refuse_unsupported(parsed)
    return _to_request(parsed)


def _to_request(parsed: Any) -> ChatRequest:
    is_stream = bool(parsed.stream)
    if parsed.stream_options is not None and not is_stream:
        raise invalid_request("`stream_options` is only allowed when `stream` is true.", param="stream_options")
    stop = parsed.stop if isinstance(parsed.stop, list) else [parsed.stop] if parsed.stop else []
    messages = to_messages(parsed.messages)
    is_parallel = parsed.parallel_tool_calls is not False
    return ChatRequest(
        model=parsed.model,
        messages=messages,
        temperature=1.0 if parsed.temperature is None else parsed.temperature,
        top_p=1.0 if parsed.top_p is None else parsed.top_p,
        seed=parsed.seed,
        stop=tuple(stop),
        max_completion_tokens=_max_completion_tokens(parsed),
        is_stream=is_stream,
        include_usage=bool(parsed.stream_options and parsed.stream_options.include_usage),
        service_tier=parsed.service_tier,
        choices=parsed.n or 1,
        top_k=parsed.top_k or 0,
        min_p=parsed.min_p or 0.0,
        frequency_penalty=parsed.frequency_penalty or 0.0,
        presence_penalty=parsed.presence_penalty or 0.0,
        logit_bias=tuple((int(token_id), bias) for token_id, bias in (parsed.logit_bias or {}).items()),
        top_logprobs=_top_logprobs(parsed),
        constraint=_to_constraint(parsed, messages),
        tool_use=to_tool_use(parsed.tools, parsed.tool_choice, is_parallel=is_parallel),
    )


def _to_constraint(parsed: Any, messages: tuple[Message, ...]) -> Constraint | None:
    """What `response_format` holds the answer to."""
    if parsed.response_format is None or isinstance(parsed.response_format, _TextFormat):
        return None
    if parsed.tools and parsed.tool_choice != "none":
        raise invalid_request("`response_format` cannot be combined with `tools`.", param="response_format")
    if isinstance(parsed.response_format, _SchemaFormat):
        return Constraint("json_schema", schema_text(parsed.response_format.json_schema.schema))
    if not any("json" in message.content.lower() for message in messages):
        text = "`messages` must contain the word 'json' in some form, to use `response_format` of type `json_object`."
        raise invalid_request(text, param="messages")
    return Constraint("json_object")


def _top_logprobs(parsed: Any) -> int | None:
    top: int | None = parsed.top_logprobs
    if parsed.logprobs:
        return top or 0
    if top:
        raise invalid_request("`top_logprobs` is only allowed when `logprobs` is true.", param="top_logprobs")
    return None


def _max_completion_tokens(parsed: Any) -> int | None:
    current: int | None = parsed.max_completion_tokens
    deprecated: int | None = parsed.max_tokens
    if current is not None and deprecated is not None and current != deprecated:
        message = "`max_tokens` and `max_completion_tokens` differ; send `max_completion_tokens` alone."
        raise invalid_request(message, param="max_tokens")
    return deprecated if current is None else current


def _refuse_unsupported(parsed: Any) -> None:
    for name, neutral in UNSUPPORTED.items():
        value = getattr(parsed, name)
        if value is UNSET or value is None or _is_among(value, neutral):
            continue
        message = f"`{name}` is not supported by this API yet."
        raise invalid_request(message, param=name, code="unsupported_parameter")


def _is_among(value: object, neutral: tuple[object, ...]) -> bool:
    """Equality that keeps booleans and numbers apart: `n: true` is not `n: 1`."""
    return any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in neutral)


def _explain(message: str) -> ApiError:
    """msgspec says what is wrong and where; say it in the API's words and name the parameter."""
    # A key of an object, or a value of one whose keys are free, is named by the object.
    message = message.replace(" - at `key` in `$", " (a key) - at `$")
    problem, _, place = message[:MESSAGE_LENGTH].partition(" - at `$")
    inside = place.rstrip("`").lstrip(".").replace("[...]", "")
    field = re.search(r"(unknown|required) field `([^`]*)`", problem)
    if field:
        name = f"{inside}.{field[2]}" if inside else field[2]
        text = f"Unknown parameter: `{name}`." if field[1] == "unknown" else f"Missing required parameter: `{name}`."
        return invalid_request(text, param=name, code=f"{'unknown' if field[1] == 'unknown' else 'missing'}_parameter")
    if not inside:
        return invalid_request(f"The request body must be a JSON object. {problem}.")
    return invalid_request(f"Invalid value for `{inside}`: {problem[:1].lower()}{problem[1:]}.", param=inside)
