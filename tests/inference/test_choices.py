"""How answers are written: choices side by side, calls, log-probabilities."""

import json
from typing import Any

from inference.choices import AnswerShape
from inference.completions import CompletionWriter
from inference.types import EndEvent, JobHandle, TokenEvent
from lpu_backend.tool_calls.formats import HERMES

HANDLE = JobHandle(request_id="req_abc", model="m", seed=1, created_at_s=0, payload_key=b"")
ENDING = EndEvent("completed", "stop", "", 3, 6, 0, 0.0, 0.0, 0.0, {})
CALL = '<tool_call>\n{"name": "now", "arguments": {"zone": "東京"}}\n</tool_call>'
CALLING = AnswerShape(tool_format=HERMES, tool_names=("now",))


def writer_of(shape: AnswerShape) -> CompletionWriter:
    return CompletionWriter(HANDLE, service_tier=None, include_usage=False, shape=shape)


def events_of(*texts: str, choice: int = 0, finish_reason: str = "stop") -> list[TokenEvent]:
    last = len(texts) - 1
    return [
        TokenEvent(i, text, choice=choice, finish_reason=finish_reason if i == last else "")
        for i, text in enumerate(texts)
    ]


def whole(shape: AnswerShape, events: list[TokenEvent]) -> list[dict[str, Any]]:
    writer = writer_of(shape)
    for event in events:
        writer.add(event)
    choices: list[dict[str, Any]] = json.loads(writer.whole(ENDING))["choices"]
    return choices


def streamed(shape: AnswerShape, events: list[TokenEvent]) -> list[dict[str, Any]]:
    writer = writer_of(shape)
    body = writer.first_chunk() + b"".join(map(writer.token_chunk, events)) + writer.last_chunks(ENDING)
    lines = body.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def fold(chunks: list[dict[str, Any]], index: int) -> tuple[str, list[dict[str, Any]], list[str]]:
    mine = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    text = "".join(choice["delta"].get("content") or "" for choice in mine)
    calls = [call for choice in mine for call in choice["delta"].get("tool_calls", [])]
    return text, calls, [choice["finish_reason"] for choice in mine if choice["finish_reason"]]


def test_choices_keep_their_own_text_and_ending() -> None:
    first, second = events_of("a", "b", "c"), events_of("x", "y", choice=1, finish_reason="length")
    mixed = [first[0], second[0], second[1], first[1], first[2]]
    shape = AnswerShape(choices=2)
    assert [(each["index"], each["message"]["content"], each["finish_reason"]) for each in whole(shape, mixed)] == [
        (0, "abc", "stop"),
        (1, "xy", "length"),
    ]
    chunks = streamed(shape, mixed)
    assert fold(chunks, 0) == ("abc", [], ["stop"])
    assert fold(chunks, 1) == ("xy", [], ["length"])
    assert [each["choices"][0]["delta"].get("role") for each in chunks[:2]] == ["assistant", "assistant"]
    assert ["x_groq" in each for each in chunks] == [True] + [False] * (len(chunks) - 2) + [True]


def test_calls_are_told_apart_from_text() -> None:
    events = events_of("Let me", " look.", *(CALL + "\n" + CALL))
    (choice,) = whole(CALLING, events)
    calls = choice["message"]["tool_calls"]
    assert choice["message"]["content"] == "Let me look."
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"] for call in calls] == [{"name": "now", "arguments": '{"zone": "東京"}'}] * 2
    assert len({call["id"] for call in calls}) == 2
    assert all(call["id"].startswith("call_") and call["type"] == "function" for call in calls)

    text, deltas, endings = fold(streamed(CALLING, events), 0)
    assert (text, endings) == ("Let me look.", ["tool_calls"])
    assert deltas == [{"index": index, **call} for index, call in enumerate(calls)]


def test_an_answer_of_calls_alone_has_no_content() -> None:
    assert whole(CALLING, events_of(CALL))[0]["message"]["content"] is None
    assert whole(CALLING, events_of("", ""))[0]["message"]["content"] == ""


def test_a_call_that_was_cut_off_is_text() -> None:
    (choice,) = whole(CALLING, events_of(CALL[:20], CALL[20:30], finish_reason="length"))
    assert choice["message"]["content"] == CALL[:30]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "length"


def test_calls_keep_their_ids_whoever_reads_and_share_none() -> None:
    def ids(choices: int) -> list[str]:
        shape = AnswerShape(choices=choices, tool_format=HERMES, tool_names=("now",))
        events = [event for choice in range(choices) for event in events_of(CALL, choice=choice)]
        return [each["message"]["tool_calls"][0]["id"] for each in whole(shape, events)]

    assert ids(3)[0] == ids(1)[0]
    assert len(set(ids(3))) == 3


def test_text_is_not_searched_for_calls_unless_there_are_tools() -> None:
    assert whole(AnswerShape(), events_of(CALL))[0]["message"]["content"] == CALL


def test_log_probabilities_are_listed_for_tokens_without_text_too() -> None:
    entries = [{"token": "\ufffd", "logprob": -0.5, "bytes": [195], "top_logprobs": []}] * 2
    events = [
        TokenEvent(0, "", logprobs=entries[0]),
        TokenEvent(1, "é", logprobs=entries[1]),
        TokenEvent(2, "", finish_reason="stop"),
    ]
    shape = AnswerShape(has_logprobs=True)
    assert whole(shape, events)[0]["logprobs"] == {"content": entries, "refusal": None}
    chunks = streamed(shape, events)
    listed = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert listed == [{"content": entries[:1], "refusal": None}] * 2
    assert whole(shape, [])[0]["logprobs"] == {"content": [], "refusal": None}
    assert whole(AnswerShape(), events[2:])[0]["logprobs"] is None
