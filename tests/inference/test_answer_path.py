"""Formats, functions and log-probabilities through a real server, queue and worker, with both SDKs."""

import json
import math
from collections.abc import Iterator
from enum import Enum
from typing import Any

import groq
import openai
import pydantic
import pytest

from inference.models import Job, RateLimit
from tests.serving import NULL, Path

pytestmark = pytest.mark.django_db(transaction=True)

DEMO = "lpu-demo"
HELLO = [{"role": "user", "content": "Describe a robot as JSON."}]
ROBOT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "wheels": {"type": "integer", "minimum": 2, "maximum": 16},
        "mood": {"enum": ["calm", "kühl", "🙂"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["wheels", "mood", "tags"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "robot", "schema": ROBOT, "strict": True}}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Oslo", "東京"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ASK = {"messages": [{"role": "user", "content": "What is the weather in Oslo?"}], "tools": [WEATHER]}
Client = openai.OpenAI | groq.Groq


@pytest.fixture(params=["openai", "groq"])
def client(request: pytest.FixtureRequest, path: Path) -> Iterator[Client]:
    if request.param == "openai":
        with openai.OpenAI(base_url=f"{path.url}/v1", api_key=path.key, max_retries=0) as opened:
            yield opened
    else:
        with groq.Groq(base_url=path.url, api_key=path.key, max_retries=0) as opened:
            yield opened


def complete(client: Client, **fields: Any) -> Any:
    body = {"model": DEMO, "messages": HELLO, "seed": 7, "max_completion_tokens": 120, **fields}
    return client.chat.completions.create(**body)


def assert_robot(text: str) -> None:
    robot = json.loads(text)
    assert list(robot) == ["wheels", "mood", "tags"]
    assert 2 <= robot["wheels"] <= 16
    assert robot["mood"] in ROBOT["properties"]["mood"]["enum"]
    assert all(isinstance(tag, bool) for tag in robot["tags"])


def test_an_answer_fits_its_schema(client: Client) -> None:
    choice = complete(client, response_format=FORMAT).choices[0]
    assert choice.finish_reason == "stop"
    assert_robot(choice.message.content)


def test_a_streamed_answer_fits_its_schema_too(client: Client) -> None:
    chunks = list(complete(client, response_format=FORMAT, stream=True, temperature=2))
    assert_robot("".join(chunk.choices[0].delta.content or "" for chunk in chunks))


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Wheel(pydantic.BaseModel):
    spokes: int = pydantic.Field(ge=3, le=9)


class Robot(pydantic.BaseModel):
    mood: Mood
    wheel: Wheel
    spare: Wheel | None


def test_the_sdk_parses_an_answer_into_its_own_class(path: Path) -> None:
    with openai.OpenAI(base_url=f"{path.url}/v1", api_key=path.key, max_retries=0) as client:
        body: Any = {"model": DEMO, "messages": HELLO, "seed": 5, "max_completion_tokens": 200}
        robot = client.chat.completions.parse(**body, response_format=Robot).choices[0].message.parsed
        tools = [openai.pydantic_function_tool(Wheel)]
        made = client.chat.completions.parse(**body, tools=tools, tool_choice="required", parallel_tool_calls=False)
    assert robot.mood in Mood
    assert 3 <= robot.wheel.spokes <= 9
    assert 3 <= made.choices[0].message.tool_calls[0].function.parsed_arguments.spokes <= 9


def test_any_object_is_json_or_says_that_it_was_cut_off(path: Path) -> None:
    for seed in range(3):
        fields = {"messages": HELLO, "response_format": {"type": "json_object"}, "max_completion_tokens": 60}
        choice = path.post(model=DEMO, seed=seed, **fields).json()["choices"][0]
        assert choice["message"]["content"].startswith("{")
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"]), dict)
        else:
            assert choice["finish_reason"] == "length"


def test_a_call_that_must_be_made_is_valid(client: Client) -> None:
    choice = complete(client, **ASK, tool_choice="required", parallel_tool_calls=False).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments)["city"] in ("Oslo", "東京")


def test_a_call_that_may_be_made_is_valid_or_is_none(path: Path) -> None:
    for seed in range(3):
        choice = path.post(model=DEMO, seed=seed, max_completion_tokens=30, **ASK).json()["choices"][0]
        if choice["message"].get("tool_calls"):
            assert choice["finish_reason"] == "tool_calls"
            arguments = choice["message"]["tool_calls"][0]["function"]["arguments"]
            assert json.loads(arguments)["city"] in ("Oslo", "東京")
        else:
            assert choice["message"]["content"]
            assert choice["finish_reason"] in ("stop", "length")


def test_a_streamed_call_is_the_plain_one(path: Path) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    with openai.OpenAI(base_url=f"{path.url}/v1", api_key=path.key, max_retries=0) as client:
        body = {"model": DEMO, "seed": 3, "max_completion_tokens": 120, **ASK, "tool_choice": named}
        plain = client.chat.completions.create(**body).choices[0].message.tool_calls[0]
        chunks = list(client.chat.completions.create(**body, stream=True))
    (call,) = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert (call.index, call.function.name) == (0, "get_weather")
    assert call.function.arguments == plain.function.arguments
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_conversation_goes_on_after_a_call(path: Path) -> None:
    with openai.OpenAI(base_url=f"{path.url}/v1", api_key=path.key, max_retries=0) as client:
        body: dict[str, Any] = {"model": DEMO, "seed": 3, "max_completion_tokens": 100, "tools": [WEATHER]}
        messages: list[Any] = list(ASK["messages"])
        made = client.chat.completions.create(
            **body, messages=messages, tool_choice="required", parallel_tool_calls=False
        )
        message = made.choices[0].message
        messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Rain."}]
        answer = client.chat.completions.create(**body, messages=messages, tool_choice="none")
    assert answer.choices[0].message.tool_calls is None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0


def test_log_probabilities_are_there_in_both_forms(client: Client) -> None:
    fields = {"logprobs": True, "top_logprobs": 3, "max_completion_tokens": 12, "temperature": 0}
    plain = complete(client, **fields).choices[0]
    chunks = list(complete(client, **fields, stream=True))
    entries = plain.logprobs.content
    assert bytes(byte for entry in entries for byte in entry.bytes).decode(errors="replace") == plain.message.content
    for entry in entries:
        assert entry.logprob <= 0
        assert entry.top_logprobs[0].logprob == entry.logprob
        assert len(entry.top_logprobs) == 3
        assert sum(math.exp(top.logprob) for top in entry.top_logprobs) < 1 + 1e-6
    streamed = [entry for c in chunks if c.choices[0].logprobs for entry in c.choices[0].logprobs.content]
    assert streamed == entries


def test_a_bias_and_top_k_reach_the_worker(path: Path) -> None:
    fields = {"model": DEMO, "messages": HELLO, "max_completion_tokens": 8, "seed": 1}
    greedy = path.post(**fields, temperature=0).json()["choices"][0]["message"]["content"]
    assert path.post(**fields, temperature=2, top_k=1).json()["choices"][0]["message"]["content"] == greedy
    assert path.post(**fields, temperature=2, min_p=1).json()["choices"][0]["message"]["content"] == greedy
    ended = path.post(**fields, temperature=0, logit_bias={"2": 100}).json()
    assert (ended["choices"][0]["message"]["content"], ended["usage"]["completion_tokens"]) == ("", 1)


def test_what_cannot_be_kept_is_refused_before_a_job_is_made(path: Path) -> None:
    broken = {"type": "object", "properties": {"a": {"type": "wizard"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": broken}}
    requests: list[tuple[dict[str, Any], str]] = [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": broken}}},
            "response_format",
        ),
        ({"tools": [tool]}, "tools"),
        ({"logit_bias": {"3072": 1}}, "logit_bias"),
        ({"model": NULL, "response_format": FORMAT}, "response_format"),
        ({"model": NULL, "tools": [WEATHER]}, "tools"),
    ]
    for fields, param in requests:
        response = path.post(**{"model": DEMO, **fields})
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
        if fields.get("model") != NULL and param != "logit_bias":
            assert "wizard" in response.json()["error"]["message"]


def test_choices_are_those_of_seeds_that_follow_each_other_and_all_are_billed(path: Path) -> None:
    fields = {"model": DEMO, "messages": HELLO, "max_completion_tokens": 12, "temperature": 1.5}
    answer = path.post(**fields, seed=7, n=3).json()
    alone = [path.post(**fields, seed=seed).json() for seed in (7, 8, 9)]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    for choice, single in zip(answer["choices"], alone, strict=True):
        assert choice["message"] == single["choices"][0]["message"]
        assert choice["finish_reason"] == single["choices"][0]["finish_reason"]
    completion_tokens = sum(single["usage"]["completion_tokens"] for single in alone)
    assert answer["usage"]["completion_tokens"] == completion_tokens
    assert answer["usage"]["prompt_tokens"] == alone[0]["usage"]["prompt_tokens"]
    job = Job.objects.get(pk=answer["x_groq"]["id"])
    assert (job.choices, job.completion_tokens) == (3, completion_tokens)


def test_streamed_choices_are_the_plain_ones(client: Client) -> None:
    fields = {"n": 3, "temperature": 1.5, "max_completion_tokens": 20, "response_format": FORMAT}
    plain = complete(client, **fields).choices
    texts, endings = ["", "", ""], ["", "", ""]
    for chunk in complete(client, **fields, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            endings[choice.index] = choice.finish_reason or endings[choice.index]
    assert texts == [choice.message.content for choice in plain]
    assert endings == [choice.finish_reason for choice in plain]


def test_tokens_of_all_choices_are_reserved(path: Path) -> None:
    RateLimit.objects.update(tpm=2_000)
    refused = path.post(n=8, max_completion_tokens=250)
    assert (refused.status_code, refused.json()["error"]["type"]) == (413, "tokens")
    assert path.post(n=7, max_completion_tokens=250).status_code == 200
