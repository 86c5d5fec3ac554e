"""Messages and tools of a request's body, as the OpenAI API has them."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from inference.exceptions import invalid_request
from inference.types import CallMade, Message, ToolUse

MAX_TOOLS = 128
Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
Nothing = Annotated[list[Any], Meta(max_length=0)] | None


class _TextPart(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


_Content = str | Annotated[list[_TextPart], Meta(min_length=1)]


class _CalledFunction(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    arguments: str


class _ToolCall(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=1, max_length=100)]
    function: _CalledFunction
    type: Literal["function"] = "function"
    index: int | None = None


class _System(msgspec.Struct, forbid_unknown_fields=True, tag_field="role", tag="system"):
    content: _Content


class _Developer(msgspec.Struct, forbid_unknown_fields=True, tag_field="role", tag="developer"):
    content: _Content


class _User(msgspec.Struct, forbid_unknown_fields=True, tag_field="role", tag="user"):
    content: _Content


class _Assistant(msgspec.Struct, forbid_unknown_fields=True, tag_field="role", tag="assistant"):
    """An answer may be sent back as it came: what its other fields cannot say but nothing is taken."""

    content: _Content | None = None
    tool_calls: Annotated[list[_ToolCall], Meta(max_length=MAX_TOOLS)] | None = None
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None
    reasoning: None = None


class _Tool(msgspec.Struct, forbid_unknown_fields=True, tag_field="role", tag="tool"):
    content: _Content
    tool_call_id: str
    name: Name | None = None


ChatMessage = _System | _Developer | _User | _Assistant | _Tool


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _Function


class _NamedFunction(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class NamedTool(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _NamedFunction


ToolChoice = Literal["none", "auto", "required"] | NamedTool


def to_messages(parsed: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Raises ApiError for an assistant that says nothing, or a tool's answer to a call that nobody made."""
    called: set[str] = set()
    messages = []
    for place, message in enumerate(parsed):
        made = _to_message(message, place)
        called |= {call.id for call in made.tool_calls}
        if made.role == "tool" and made.tool_call_id not in called:
            text = "`tool_call_id` names no call of an earlier assistant message."
            raise invalid_request(text, param=f"messages[{place}].tool_call_id")
        messages.append(made)
    return tuple(messages)


def _to_message(message: ChatMessage, place: int) -> Message:
    match message:
        case _Tool():
            return Message("tool", _join(message.content), (), message.tool_call_id, message.name or "")
        case _Assistant():
            calls = message.tool_calls or []
            if message.content is None and not calls:
                text = "An assistant message needs `content` or `tool_calls`."
                raise invalid_request(text, param=f"messages[{place}].content")
            made = tuple(CallMade(call.id, call.function.name, call.function.arguments) for call in calls)
            return Message("assistant", _join(message.content or ""), made)
        case _User():
            return Message("user", _join(message.content))
        case _:
            return Message("system", _join(message.content))


def _join(content: str | list[_TextPart]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def to_tool_use(
    tools: Sequence[FunctionTool] | None, choice: ToolChoice | None, *, is_parallel: bool
) -> ToolUse | None:
    """The tools that bear on the answer; None if there are none. Raises ApiError."""
    if isinstance(choice, NamedTool) or choice == "required":
        _require_choice(tools or [], choice)
    if not tools or choice == "none":
        return None
    names = [tool.function.name for tool in tools]
    if len(set(names)) < len(names):
        raise invalid_request("`tools` names a function more than once.", param="tools")
    for place, tool in enumerate(tools):
        if (tool.function.parameters or {}).get("type", "object") != "object":
            text = "The arguments of a function are an object: its `parameters` must be of type `object`."
            raise invalid_request(text, param=f"tools[{place}].function.parameters")
    is_named = isinstance(choice, NamedTool)
    chosen = [tool for tool in tools if not isinstance(choice, NamedTool) or tool.function.name == choice.function.name]
    return ToolUse(
        tools=tuple(_as_tool(tool.function) for tool in chosen),
        is_forced=is_named or choice == "required",
        is_parallel=is_parallel and not is_named,
    )


def _require_choice(tools: Sequence[FunctionTool], choice: NamedTool | Literal["required"]) -> None:
    if not tools:
        raise invalid_request("`tool_choice` asks for a call, and there are no `tools`.", param="tool_choice")
    if isinstance(choice, NamedTool) and choice.function.name not in {tool.function.name for tool in tools}:
        raise invalid_request("`tool_choice` names a function that is not among `tools`.", param="tool_choice")


def _as_tool(function: _Function) -> dict[str, Any]:
    """What the caller said of it, in the shape that chat templates show."""
    described: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        described["description"] = function.description
    described["parameters"] = function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": described}


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it travels: its properties in the order in which they were given, which answers then keep."""
    return json.dumps(schema, ensure_ascii=False)
