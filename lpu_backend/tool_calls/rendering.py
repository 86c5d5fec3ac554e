"""Messages with tools, as a chat template takes them: its own way, or folded into the text where it knows none."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lpu_backend.tool_calls.formats import TemplateTools

_INTRODUCTION = (
    "You may call functions to answer. These are their descriptions, one a line, with the JSON schema of their "
    "parameters:\n<tools>\n{tools}\n</tools>\nTo call a function, write its name and arguments as JSON between tags:\n"
    '<tool_call>\n{{"name": NAME, "arguments": ARGUMENTS}}\n</tool_call>'
)
_Message = Mapping[str, Any]


class TemplateInput(NamedTuple):
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


def prepare_messages(found: TemplateTools, messages: Sequence[_Message], tools: Sequence[_Message]) -> TemplateInput:
    """What the chat template is given. Arguments become objects, as templates of both kinds expect."""
    if found.is_native:
        rendered = [_shorten_ids(_open_arguments(message), found.format.call_id_characters) for message in messages]
        return TemplateInput(rendered, [dict(tool) for tool in tools] or None)
    folded: list[dict[str, Any]] = []
    for message in messages:
        _append_folded(folded, message)
    if tools:
        _introduce(folded, tools)
    return TemplateInput(folded, None)


def _open_arguments(message: _Message) -> dict[str, Any]:
    calls = [
        {**call, "function": {**call["function"], "arguments": _parse(call["function"]["arguments"])}}
        for call in message.get("tool_calls", ())
    ]
    return {**message, "tool_calls": calls} if calls else dict(message)


def _parse(arguments: str) -> Any:
    """A model's earlier call may hold anything: what is no JSON stays as it is."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _shorten_ids(message: dict[str, Any], characters: int | None) -> dict[str, Any]:
    if characters is None:
        return message
    if "tool_call_id" in message:
        message["tool_call_id"] = _shorten(message["tool_call_id"], characters)
    for call in message.get("tool_calls", ()):
        call["id"] = _shorten(call["id"], characters)
    return message


def _shorten(call_id: str, characters: int) -> str:
    if len(call_id) == characters and call_id.isalnum():
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:characters]


def _append_folded(folded: list[dict[str, Any]], message: _Message) -> None:
    """Calls as the model would have written them; results as words of the user, those of one turn together."""
    content = message["content"]
    if message["role"] == "tool":
        content = f"<tool_response>\n{content}\n</tool_response>"
        if folded and folded[-1].pop("is_result", False):
            folded[-1] |= {"content": f"{folded[-1]['content']}\n{content}", "is_result": True}
        else:
            folded.append({"role": "user", "content": content, "is_result": True})
        return
    for call in _open_arguments(message).get("tool_calls", ()):
        written = json.dumps(
            {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}, ensure_ascii=False
        )
        content = f"{content}\n<tool_call>\n{written}\n</tool_call>".lstrip("\n")
    folded.append({"role": message["role"], "content": content})


def _introduce(folded: list[dict[str, Any]], tools: Sequence[_Message]) -> None:
    lines = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    text = _INTRODUCTION.format(tools=lines)
    if folded and folded[0]["role"] == "system":
        folded[0]["content"] = f"{folded[0]['content']}\n\n{text}"
    else:
        folded.insert(0, {"role": "system", "content": text})
