"""One chat completion from the request to the ledger, through a real server, queue and worker."""

import json

import groq
import httpx
import openai
import pytest

from accounts.models import Organization
from billing.models import Hold, Journal
from billing.selectors import get_funds
from inference.models import Job
from inference.redis_clients import get_redis
from tests.serving import NULL, Path, wait_for_end

pytestmark = pytest.mark.django_db(transaction=True)

PROMPT = "Hello"
MESSAGES = [{"role": "user", "content": PROMPT}]


def openai_client(path: Path) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{path.url}/v1", api_key=path.key, max_retries=0)


def groq_client(path: Path) -> groq.Groq:
    return groq.Groq(base_url=path.url, api_key=path.key, max_retries=0)


def test_the_openai_sdk_gets_an_answer(path: Path) -> None:
    with openai_client(path) as client:
        answer = client.chat.completions.create(model=NULL, messages=MESSAGES, seed=7)
    assert answer.choices[0].finish_reason == "stop"
    assert len(answer.choices[0].message.content.split()) == 16
    assert answer.usage.completion_tokens == 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 16
    assert answer.system_fingerprint.startswith("fp_")


def test_the_groq_sdk_gets_an_answer_with_its_own_fields(path: Path) -> None:
    with groq_client(path) as client:
        answer = client.chat.completions.create(model=NULL, messages=MESSAGES, seed=7)
    assert answer.x_groq.id.startswith("req_")
    assert answer.x_groq.seed == 7
    assert answer.usage.total_time == pytest.approx(answer.usage.prompt_time + answer.usage.completion_time)


def test_both_sdks_stream_the_text_that_a_plain_answer_has(path: Path) -> None:
    plain = path.post().json()["choices"][0]["message"]["content"]
    for client in (openai_client(path), groq_client(path)):
        with client:
            chunks = list(client.chat.completions.create(model=NULL, messages=MESSAGES, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert chunks[-1].x_groq["usage"]["completion_tokens"] == 16 if isinstance(chunks[-1].x_groq, dict) else True


def test_a_stream_ends_with_usage_the_emulated_time_and_done(path: Path) -> None:
    response = path.post(stream=True, stream_options={"include_usage": True})
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    first, last, usage = json.loads(events[0]), json.loads(events[-3]), json.loads(events[-2])
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert first["x_groq"]["id"] == last["x_groq"]["id"] == response.headers["x-request-id"]
    counted = {"cycles", "saved_cycles", "seconds", "tokens_per_second"}
    assert set(last["x_lpu"]) == {"chips", "program_hash", "mode", *counted}
    assert last["x_groq"]["usage"] == usage["usage"]
    assert usage["choices"] == []


def test_the_same_request_has_the_same_answer_under_both_prefixes(path: Path) -> None:
    body = {"model": NULL, "messages": MESSAGES}
    answers = [
        httpx.post(f"{path.url}{prefix}/chat/completions", json=body, headers=path.headers, timeout=30).json()
        for prefix in ("/v1", "/openai/v1")
    ]
    assert answers[0]["choices"] == answers[1]["choices"]


def test_a_drawn_seed_is_stored_and_returned(path: Path) -> None:
    answer = path.post().json()
    job = Job.objects.get(pk=answer["x_groq"]["id"])
    assert job.seed == answer["x_groq"]["seed"]


def test_it_charges_what_was_used_once_and_frees_the_rest(path: Path, organization: Organization) -> None:
    before = get_funds(organization.pk)
    answer = path.post(max_completion_tokens=100).json()
    job = Job.objects.get(pk=answer["x_groq"]["id"])
    after = get_funds(organization.pk)
    cost_pusd = answer["usage"]["prompt_tokens"] * 50_000 + 16 * 80_000
    assert (job.cost_pusd, job.completion_tokens) == (cost_pusd, 16)
    assert before.balance_pusd - after.balance_pusd == cost_pusd
    assert after.held_pusd == 0
    assert Journal.objects.filter(kind=Journal.Kind.USAGE, reference=job.pk).count() == 1


def test_the_rate_limit_headers_show_what_was_used_and_not_what_was_reserved(path: Path) -> None:
    first = path.post(max_completion_tokens=1000)
    second = path.post(max_completion_tokens=1)
    used = 10**7 - int(second.headers["x-ratelimit-remaining-tokens"])
    prompt_tokens = first.json()["usage"]["prompt_tokens"]
    assert used == (prompt_tokens + 16) + (prompt_tokens + 1)


def test_neither_prompt_nor_answer_nor_key_stays_behind(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = "xylophone-marmalade"
    answer = path.post(messages=[{"role": "user", "content": secret}], stop=[f"{secret}-stop"]).json()
    job = wait_for_end(answer["x_groq"]["id"])
    assert job.payload_key is None
    redis = get_redis()
    dumps = b"".join(redis.dump(key) or b"" for key in redis.scan_iter("*"))
    row = repr(Job.objects.filter(pk=job.pk).values().get())
    for place in (dumps, row.encode(), caplog.text.encode()):
        assert secret.encode() not in place
        assert b"tok00" not in place
        assert path.key.encode() not in place


def test_a_client_that_leaves_a_stream_pays_for_the_tokens_made(
    path: Path, slow_null_model: None, organization: Organization
) -> None:
    body = {"model": NULL, "messages": MESSAGES, "stream": True}
    with httpx.stream("POST", f"{path.url}/v1/chat/completions", json=body, headers=path.headers, timeout=30) as stream:
        request_id = stream.headers["x-request-id"]
        next(stream.iter_lines())
    job = wait_for_end(request_id)
    assert job.state == Job.State.CANCELLED
    assert 1 <= job.completion_tokens < 16
    assert job.cost_pusd == job.prompt_tokens * 50_000 + job.completion_tokens * 80_000
    assert get_funds(organization.pk).held_pusd == 0


def test_a_client_that_leaves_a_plain_request_cancels_it(path: Path, slow_null_model: None) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{path.url}/v1/chat/completions",
            json={"model": NULL, "messages": MESSAGES},
            headers=path.headers,
            timeout=0.6,
        )
    job = wait_for_end(Job.objects.get().pk)
    assert job.state == Job.State.CANCELLED
    assert job.completion_tokens < 16


def test_an_engine_fault_is_a_500_that_bills_nothing(
    path: Path, broken_null_model: None, organization: Organization
) -> None:
    before = get_funds(organization.pk)
    response = path.post()
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "engine_fault"
    assert get_funds(organization.pk) == before
    assert Hold.objects.get().state == Hold.State.RELEASED


def test_a_fault_after_tokens_were_streamed_ends_the_stream_with_an_error_and_bills_nothing(
    path: Path, fading_null_model: None, organization: Organization
) -> None:
    before = get_funds(organization.pk)
    response = path.post(stream=True)
    assert response.status_code == 200
    last = json.loads(response.text.split("\n\n")[-3].removeprefix("data: "))
    assert last["error"]["code"] == "engine_fault"
    assert last["x_groq"]["error"]
    assert get_funds(organization.pk) == before
