"""From a request's body to a frozen ChatRequest. Every parameter is honoured or refused by name; none is ignored."""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from inference.exceptions import ApiError, invalid_request
from inference.types import ChatRequest, Message

MAX_STOP = 4
MESSAGE_LENGTH = 300  # characters of an error message: a refused value is quoted by msgspec, however long it is

# Parameters of the OpenAI and Groq APIs that this version does not act on, each with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
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
    "top_k": (0,),
    "min_p": (0,),
}


class _TextPart(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[_TextPart], Meta(min_length=1)]


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_usage: bool = False


_TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Stop = Annotated[str, Meta(min_length=1, max_length=1000)]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[_Message], Meta(min_length=1)]
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
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
    return ChatRequest(
        model=parsed.model,
        messages=tuple(_to_message(message) for message in parsed.messages),
        temperature=1.0 if parsed.temperature is None else parsed.temperature,
        top_p=1.0 if parsed.top_p is None else parsed.top_p,
        seed=parsed.seed,
        stop=tuple(stop),
        max_completion_tokens=_max_completion_tokens(parsed),
        is_stream=is_stream,
        include_usage=bool(parsed.stream_options and parsed.stream_options.include_usage),
        service_tier=parsed.service_tier,
    )


def _to_message(message: _Message) -> Message:
    text = message.content if isinstance(message.content, str) else "".join(part.text for part in message.content)
    return Message(role="system" if message.role == "developer" else message.role, content=text)


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
    problem, _, place = message[:MESSAGE_LENGTH].partition(" - at `$")
    inside = place.rstrip("`").lstrip(".")
    field = re.search(r"(unknown|required) field `([^`]*)`", problem)
    if field:
        name = f"{inside}.{field[2]}" if inside else field[2]
        text = f"Unknown parameter: `{name}`." if field[1] == "unknown" else f"Missing required parameter: `{name}`."
        return invalid_request(text, param=name, code=f"{'unknown' if field[1] == 'unknown' else 'missing'}_parameter")
    if not inside:
        return invalid_request(f"The request body must be a JSON object. {problem}.")
    return invalid_request(f"Invalid value for `{inside}`: {problem[:1].lower()}{problem[1:]}.", param=inside)
