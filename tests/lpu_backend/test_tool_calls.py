"""Calls read out of text, and answers that are held to calls."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpu_backend import ConstraintError, SamplingParams, ToolCall, ToolCallReader, ToolFormat, check_constraint
from lpu_backend.checkpoint_model import CheckpointModel
from lpu_backend.tool_calls.formats import HERMES, LLAMA, MISTRAL
from lpu_backend.tool_calls.grammar import constrain_arguments, constrain_calls

CITY = {"enum": ["Oslo", "São Paulo", "東京"]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["city", "days"],
            "additionalProperties": False,
            "$defs": {"city": CITY},
        },
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
TOOLS = [WEATHER, CLOCK]
FORMATS = [HERMES, LLAMA, MISTRAL]
OSLO = ToolCall("get_weather", '{"city": "Oslo}", "note": "</tool_call>"}')
NOW = ToolCall("now", "{}")


def write_call(tool_format: ToolFormat, call: ToolCall) -> str:
    return f'{{"name": "{call.name}", "{tool_format.arguments_key}": {call.arguments}}}'


def write_calls(tool_format: ToolFormat, *calls: ToolCall) -> str:
    written = [write_call(tool_format, call) for call in calls]
    if tool_format is MISTRAL:
        return f"[TOOL_CALLS] [{', '.join(written)}]"
    return "\n".join(f"<tool_call>\n{each}\n</tool_call>" if tool_format is HERMES else each for each in written)


def read(tool_format: ToolFormat, *pieces: str) -> tuple[str, list[ToolCall]]:
    reader = ToolCallReader(tool_format, ["get_weather", "now"])
    readings = [*(reader.push(piece) for piece in pieces), reader.finish()]
    return "".join(each.content for each in readings), [call for each in readings for call in each.calls]


@pytest.mark.parametrize("tool_format", FORMATS, ids=lambda each: each.name)
def test_a_call_is_read_wherever_the_text_is_cut(tool_format: ToolFormat) -> None:
    text = write_calls(tool_format, OSLO)
    for cut in range(len(text) + 1):
        assert read(tool_format, text[:cut], text[cut:]) == ("", [OSLO])
    assert read(tool_format, *text) == ("", [OSLO])


@pytest.mark.parametrize("tool_format", [HERMES, MISTRAL], ids=lambda each: each.name)
def test_several_calls_and_the_text_before_them_are_read(tool_format: ToolFormat) -> None:
    text = "I look it up <now>.\n\n" + write_calls(tool_format, OSLO, NOW, OSLO)
    assert read(tool_format, *text) == ("I look it up <now>.", [OSLO, NOW, OSLO])


@pytest.mark.parametrize("tool_format", FORMATS, ids=lambda each: each.name)
@pytest.mark.parametrize(
    "broken",
    [
        '{"name": "get_weather", "arguments": {"city": "Os',
        '{"name": "launch_rocket", "arguments": {}, "parameters": {}}',
        '{"name": "now", "arguments": [], "parameters": 3}',
        '{"name": "now"}',
        "{now}",
        "soon",
    ],
)
def test_what_is_no_call_stays_text(tool_format: ToolFormat, broken: str) -> None:
    text = f"{tool_format.marker}\n{broken}\n{tool_format.closing}"
    assert read(tool_format, *text) == (text, [])


@given(st.text(st.sampled_from('<tool_cal>{}[]TOOLCALLS \n,"ab'), max_size=60), st.integers(1, 7))
def test_text_without_calls_comes_out_as_it_went_in(text: str, size: int) -> None:
    for tool_format in FORMATS:
        assert read(tool_format, *(text[i : i + size] for i in range(0, len(text), size))) == (text, [])


def test_text_is_released_as_soon_as_it_cannot_become_a_call() -> None:
    reader = ToolCallReader(HERMES, ["now"])
    assert [reader.push(piece).content for piece in ("Yes ", "<b", "> <tool", "_box")] == [
        "Yes",
        " <b",
        ">",
        " <tool_box",
    ]
    reader = ToolCallReader(LLAMA, ["now"])
    assert [reader.push(piece).content for piece in (" ", "Yes", " {")] == ["", " Yes", " {"]


def answer(model: CheckpointModel, tool_format: ToolFormat, seed: int, *, tools: Any = TOOLS, **options: bool) -> str:
    constraint = constrain_calls(tool_format, tools, **{"is_forced": True, "is_parallel": False, **options})
    check_constraint(constraint)
    params = SamplingParams(400, seed=seed, temperature=4.0, constraint=constraint)
    return "".join(step.text for step in model.generate([0, 40, 50], params))


def assert_valid(call: ToolCall) -> None:
    arguments = json.loads(call.arguments)
    if call.name == "now":
        assert arguments == {}
        return
    assert list(arguments) == ["city", "days"]
    assert arguments["city"] in CITY["enum"]
    assert 1 <= arguments["days"] <= 9


@pytest.mark.parametrize("tool_format", FORMATS, ids=lambda each: each.name)
def test_a_model_of_random_weights_calls_what_it_must(tool_format: ToolFormat, model: CheckpointModel) -> None:
    called = set()
    for seed in range(8):
        content, calls = read(tool_format, answer(model, tool_format, seed))
        assert content == ""
        assert len(calls) == 1
        assert_valid(calls[0])
        called.add(calls[0].name)
    assert called == {"now", "get_weather"}


def test_one_function_alone_can_be_asked_for(model: CheckpointModel) -> None:
    for seed in range(4):
        assert [call.name for call in read(HERMES, answer(model, HERMES, seed, tools=[CLOCK]))[1]] == ["now"]


@pytest.mark.parametrize("tool_format", [HERMES, MISTRAL], ids=lambda each: each.name)
def test_several_calls_may_be_forced(tool_format: ToolFormat, model: CheckpointModel) -> None:
    counts = set()
    for seed in range(6):
        _, calls = read(tool_format, answer(model, tool_format, seed, is_parallel=True))
        for call in calls:
            assert_valid(call)
        counts.add(len(calls))
    assert max(counts) > 1


@pytest.mark.parametrize("is_parallel", [False, True])
@pytest.mark.parametrize("tool_format", FORMATS, ids=lambda each: each.name)
def test_free_text_may_hold_calls_and_they_are_valid(
    tool_format: ToolFormat, is_parallel: bool, model: CheckpointModel
) -> None:
    constraint = constrain_calls(tool_format, TOOLS, is_forced=False, is_parallel=is_parallel)
    start = model.tokenizer.make_vocabulary(frozenset({1})).grammar.start

    def accepts(text: str) -> bool:
        matcher = start(constraint)
        try:
            for token_id in model.tokenizer._encode(text):
                matcher.accept(token_id)
        except ConstraintError:
            return False
        return matcher.is_complete or bool(matcher.list_allowed()[1])

    valid = ToolCall("get_weather", '{"city": "東京", "days": 3}')
    assert accepts("plain text, with [brackets] and <tags> \n")
    assert accepts(write_calls(tool_format, valid))
    assert not accepts(write_calls(tool_format, ToolCall("get_weather", '{"city": "Rome", "days": 3}')))
    assert not accepts(write_calls(tool_format, ToolCall("launch_rocket", "{}")))
    if tool_format is not LLAMA:
        assert accepts("I look.\n" + write_calls(tool_format, valid))
        assert accepts(write_calls(tool_format, valid, NOW)) == is_parallel
    assert accepts("") is True


def test_parameters_that_cannot_be_kept_are_refused_with_the_reason() -> None:
    broken = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "wizard"}}}}}
    with pytest.raises(ConstraintError, match="wizard"):
        check_constraint(constrain_arguments(broken))
    for tool in TOOLS:
        check_constraint(constrain_arguments(tool))
