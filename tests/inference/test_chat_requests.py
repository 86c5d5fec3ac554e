"""Reading the body of a chat completion request."""

import json

import pytest

from inference.exceptions import ApiError
from inference.schemas import parse_chat_request
from inference.types import Message

HELLO = [{"role": "user", "content": "Hello"}]


def parse(**fields: object) -> object:
    return parse_chat_request(json.dumps({"model": "m", "messages": HELLO, **fields}).encode())


def refusal(body: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_chat_request(body)
    assert caught.value.status == 400
    return caught.value


def refusal_of(**fields: object) -> ApiError:
    return refusal(json.dumps({"model": "m", "messages": HELLO, **fields}).encode())


def test_it_fills_in_the_defaults_of_the_api() -> None:
    chat = parse_chat_request(json.dumps({"model": "m", "messages": HELLO}).encode())
    assert chat.messages == (Message(role="user", content="Hello"),)
    assert (chat.temperature, chat.top_p, chat.seed, chat.stop) == (1.0, 1.0, None, ())
    assert (chat.max_completion_tokens, chat.is_stream, chat.include_usage) == (None, False, False)


def test_it_treats_null_as_not_said() -> None:
    names = ("temperature", "top_p", "seed", "stop", "max_tokens", "stream", "stream_options", "tools", "n", "user")
    assert parse(**dict.fromkeys(names)) == parse()


def test_it_joins_text_parts_and_takes_a_developer_for_the_system() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    chat = parse(messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}])
    assert chat.messages == (Message("system", "Be brief."), Message("user", "Hello"))


def test_it_takes_one_stop_string_or_up_to_four() -> None:
    assert parse(stop="x").stop == ("x",)
    assert parse(stop=["a", "b", "c", "d"]).stop == ("a", "b", "c", "d")
    assert refusal_of(stop=["a", "b", "c", "d", "e"]).param == "stop"
    assert refusal_of(stop="").param == "stop"


def test_it_takes_the_deprecated_max_tokens() -> None:
    assert parse(max_tokens=7).max_completion_tokens == 7
    assert parse(max_tokens=7, max_completion_tokens=7).max_completion_tokens == 7
    assert refusal_of(max_tokens=7, max_completion_tokens=8).param == "max_tokens"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"model": "\\ud800"}', b'{"documents": ' + b"[" * 100_000])
def test_it_says_that_a_body_is_not_json(body: bytes) -> None:
    assert refusal(body).code == "invalid_json"


def test_it_names_a_missing_parameter() -> None:
    error = refusal(b'{"model": "m"}')
    assert (error.param, error.code) == ("messages", "missing_parameter")
    assert error.message == "Missing required parameter: `messages`."


def test_it_names_an_unknown_parameter() -> None:
    error = refusal_of(temprature=1)
    assert (error.param, error.code) == ("temprature", "unknown_parameter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", "hot"),
        ("top_p", 0),
        ("seed", 2**63),
        ("max_completion_tokens", 0),
        ("max_completion_tokens", 1.5),
        ("stream", "yes"),
        ("messages", []),
        ("model", ""),
        ("n", 0),
        ("n", 9),
        ("n", True),
        ("logprobs", 1),
        ("top_logprobs", 21),
        ("top_logprobs", 3),
        ("frequency_penalty", 2.5),
        ("presence_penalty", -2.5),
        ("top_k", -1),
        ("min_p", 1.5),
        ("parallel_tool_calls", "no"),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("service_tier", "batch"),
    ],
)
def test_it_names_the_parameter_with_a_wrong_value(name: str, value: object) -> None:
    assert refusal_of(**{name: value}).param == name


def test_it_names_the_place_inside_a_message() -> None:
    assert refusal_of(messages=[{"role": "wizard", "content": "x"}]).param == "messages[0].role"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reasoning_effort", "high"),
        ("functions", [{"name": "f"}]),
        ("store", True),
        ("prediction", {"type": "content"}),
    ],
)
def test_it_refuses_by_name_what_it_cannot_honour(name: str, value: object) -> None:
    error = refusal_of(**{name: value})
    assert (error.param, error.code) == (name, "unsupported_parameter")


def test_it_accepts_a_parameter_that_asks_for_nothing() -> None:
    neutral = {"n": 1, "logprobs": False, "tools": [], "response_format": {"type": "text"}, "presence_penalty": 0.0}
    assert parse(**neutral) == parse()


def test_it_wants_a_stream_for_stream_options() -> None:
    assert refusal_of(stream_options={"include_usage": True}).param == "stream_options"
    assert parse(stream=True, stream_options={"include_usage": True}).include_usage


def test_it_quotes_no_more_than_a_little_of_a_wrong_value() -> None:
    assert len(refusal_of(messages=[{"role": "x" * 10_000, "content": ""}]).message) < 400
