"""From a request to what its worker computes: prompt ids, and what the answer is held to, all checked beforehand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inference.exceptions import invalid_request, model_unavailable
from inference.models import LanguageModel
from inference.payloads import PromptPayload
from inference.registry import load_tokenizer
from inference.types import ChatRequest, Message, ToolUse
from lpu_backend import (
    ChatTemplateError,
    ChatTokenizer,
    CheckpointError,
    Constraint,
    ConstraintError,
    ToolFormat,
    constrain_arguments,
    constrain_calls,
)

# A prompt longer than this is tokenized on a thread, so that it does not hold up the streams of others.
INLINE_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is given; `tool_format` is how its answer writes calls, where it may make any."""

    ids: list[int]
    constraint: Constraint | None = None
    tool_format: ToolFormat | None = None


async def prepare_prompt(model: LanguageModel, chat: ChatRequest) -> Prompt:
    """Raises ApiError: 400 what the model cannot take, 503 a model that cannot be read."""
    try:
        tokenizer = load_tokenizer(model.pk, model.deployment)
        _check_bias(tokenizer, chat)
        if chat.constraint or chat.tool_use or _count_characters(chat) > INLINE_CHARACTERS:
            return await asyncio.to_thread(_prepare, tokenizer, chat)
        return _prepare(tokenizer, chat)
    except ChatTemplateError as error:
        raise invalid_request(str(error), param="messages") from None
    except CheckpointError as error:
        raise model_unavailable(model.pk, str(error)) from None


def payload_of(prompt: Prompt, chat: ChatRequest) -> PromptPayload:
    return PromptPayload(
        prompt_ids=prompt.ids,
        stop=list(chat.stop),
        top_k=chat.top_k,
        min_p=chat.min_p,
        frequency_penalty=chat.frequency_penalty,
        presence_penalty=chat.presence_penalty,
        logit_bias=list(chat.logit_bias),
        top_logprobs=chat.top_logprobs,
        constraint=prompt.constraint,
    )


def _count_characters(chat: ChatRequest) -> int:
    return sum(len(message.content) for message in chat.messages)


def _check_bias(tokenizer: ChatTokenizer, chat: ChatRequest) -> None:
    if any(token_id >= tokenizer.vocabulary_tokens for token_id, _ in chat.logit_bias):
        text = f"`logit_bias` names a token that does not exist: the vocabulary has {tokenizer.vocabulary_tokens}."
        raise invalid_request(text, param="logit_bias")


def _prepare(tokenizer: ChatTokenizer, chat: ChatRequest) -> Prompt:
    messages = [_as_template_message(message) for message in chat.messages]
    if chat.tool_use:
        constraint = _constrain_to_calls(tokenizer, chat.tool_use)
        ids = tokenizer.encode_chat(messages, chat.tool_use.tools)
        return Prompt(ids, constraint, tokenizer.tool_format)
    if chat.constraint:
        _check(tokenizer.check_constraint, chat.constraint, "response_format")
    return Prompt(tokenizer.encode_chat(messages), chat.constraint)


def _constrain_to_calls(tokenizer: ChatTokenizer, use: ToolUse) -> Constraint:
    for tool in use.tools:
        _check(tokenizer.check_constraint, constrain_arguments(tool), "tools", f" of `{tool['function']['name']}`")
    constraint = constrain_calls(tokenizer.tool_format, use.tools, is_forced=use.is_forced, is_parallel=use.is_parallel)
    _check(tokenizer.check_constraint, constraint, "tools")
    return constraint


def _check(check: Callable[[Constraint], None], constraint: Constraint, param: str, whose: str = "") -> None:
    try:
        check(constraint)
    except ConstraintError as error:
        kind = "schema" if constraint.kind == "json_schema" else "grammar"
        text = f"The {kind}{whose} cannot be used: {error}."
        raise invalid_request(text, param=param) from None


def _as_template_message(message: Message) -> dict[str, Any]:
    """As chat templates expect it: what a message does not have is not there."""
    shown: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        shown["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        shown["tool_call_id"] = message.tool_call_id
    if message.name:
        shown["name"] = message.name
    return shown
