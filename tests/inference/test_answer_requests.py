"""What a request's body asks of its answer: choices, log-probabilities, formats, functions."""

import json
from typing import Any

import pytest

from inference.exceptions import ApiError
from inference.schemas import parse_chat_request
from inference.types import CallMade, ChatRequest, Message
from lpu_backend import Constraint

HELLO = [{"role": "user", "content": "Hello, as JSON"}]
SCHEMA = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "robot", "schema": SCHEMA, "strict": True}}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Rain?", "strict": True},
}
CLOCK = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
TOOLS = [WEATHER, CLOCK]
CALL = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}


def parse(**fields: object) -> ChatRequest:
    return parse_chat_request(json.dumps({"model": "m", "messages": HELLO, **fields}).encode())


def refusal_of(**fields: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(**fields)
    assert caught.value.status == 400
    return caught.value


def test_it_reads_every_sampling_parameter() -> None:
    chat = parse(n=8, top_k=40, min_p=0.1, frequency_penalty=-2, presence_penalty=0.5, logit_bias={"0": -100, "17": 3})
    assert (chat.choices, chat.top_k, chat.min_p) == (8, 40, 0.1)
    assert (chat.frequency_penalty, chat.presence_penalty) == (-2.0, 0.5)
    assert chat.logit_bias == ((0, -100.0), (17, 3.0))


def test_it_tells_log_probabilities_of_sampled_tokens_from_those_of_the_likeliest() -> None:
    assert parse().top_logprobs is None
    assert parse(logprobs=False, top_logprobs=0).top_logprobs is None
    assert parse(logprobs=True).top_logprobs == 0
    assert parse(logprobs=True, top_logprobs=20).top_logprobs == 20
    assert refusal_of(top_logprobs=2).param == "top_logprobs"


@pytest.mark.parametrize("bias", [{"x": 1}, {"-1": 1}, {"01": 1}, {"1": 100.5}, {"1": "much"}, [1]])
def test_it_refuses_a_bias_that_is_none(bias: object) -> None:
    assert refusal_of(logit_bias=bias).param == "logit_bias"


def test_a_format_becomes_a_constraint_with_its_properties_in_order() -> None:
    assert parse(response_format={"type": "text"}).constraint is None
    assert parse(response_format={"type": "json_object"}).constraint == Constraint("json_object")
    constraint = parse(response_format=FORMAT).constraint
    assert constraint.kind == "json_schema"
    assert list(json.loads(constraint.source)["properties"]) == ["z", "a"]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({"type": "yaml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": "x"}}, "response_format.json_schema.schema"),
        ({"type": "json_object", "schema": {}}, "response_format.schema"),
    ],
)
def test_it_names_the_place_inside_a_format(value: object, param: str) -> None:
    assert refusal_of(response_format=value).param == param


def test_any_object_wants_the_word_json_in_a_message() -> None:
    error = refusal_of(messages=[{"role": "user", "content": "Hello"}], response_format={"type": "json_object"})
    assert error.param == "messages"
    assert "'json'" in error.message


def test_it_does_not_combine_formats_with_tools() -> None:
    assert refusal_of(response_format=FORMAT, tools=TOOLS).param == "response_format"
    assert parse(response_format=FORMAT, tools=TOOLS, tool_choice="none").constraint is not None


def test_tools_may_be_called_unless_the_choice_says_otherwise() -> None:
    use = parse(tools=TOOLS).tool_use
    assert use.names == ("get_weather", "now")
    assert (use.is_forced, use.is_parallel) == (False, True)
    assert use.tools[0]["function"] == {
        "name": "get_weather",
        "description": "Rain?",
        "parameters": {"type": "object", "properties": {}},
    }
    assert parse(tools=TOOLS, tool_choice="auto") == parse(tools=TOOLS)
    assert parse(tools=TOOLS, tool_choice="none").tool_use is None
    assert parse(tools=[], tool_choice="auto").tool_use is None
    required = parse(tools=TOOLS, tool_choice="required", parallel_tool_calls=False).tool_use
    assert (required.is_forced, required.is_parallel) == (True, False)
    named = parse(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "now"}}).tool_use
    assert (named.names, named.is_forced, named.is_parallel) == (("now",), True, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "browser", "function": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [CLOCK, {"type": "function", "function": {"name": "a b"}}]}, "tools[1].function.name"),
        ({"tools": [CLOCK] * 129}, "tools"),
        ({"tools": [CLOCK, CLOCK]}, "tools"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]},
            "tools[0].function.parameters",
        ),
        ({"tools": TOOLS, "tool_choice": "always"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
    ],
)
def test_it_names_the_place_inside_tools(fields: dict[str, object], param: str) -> None:
    assert refusal_of(**fields).param == param


def test_an_answer_with_calls_and_what_the_tools_said_are_messages() -> None:
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "annotations": []}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "noon", "name": "now"}
    assert parse(messages=[*HELLO, answer, result]).messages[1:] == (
        Message("assistant", "", (CallMade("call_1", "now", "{}"),)),
        Message("tool", "noon", tool_call_id="call_1", name="now"),
    )


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "assistant", "content": None}, "messages[1].content"),
        ({"role": "tool", "tool_call_id": "call_1", "content": "noon"}, "messages[1].tool_call_id"),
        ({"role": "tool", "content": "noon"}, "messages[1].tool_call_id"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "messages[1].tool_calls"),
        ({"role": "user", "content": None}, "messages[1].content"),
        ({"role": "assistant", "content": "x", "refusal": "no"}, "messages[1].refusal"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
    ],
)
def test_it_names_the_place_inside_the_messages(message: dict[str, object], param: str) -> None:
    assert refusal_of(messages=[*HELLO, message]).param == param
