"""What the API refuses, each in the envelope, with a status of its own, and without a trace in the ledger."""

from typing import Any

import httpx
import pytest
from pytest_django import Settings

from accounts.models import Organization, User
from accounts.services import revoke_api_key
from accounts.types import IssuedKey
from billing.models import Balance, Hold
from inference.models import Job, LanguageModel, RateLimit
from inference.redis_clients import get_redis
from tests.serving import NULL

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"model": NULL, "messages": [{"role": "user", "content": "Hello"}]}


class Client:
    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def send(self, method: str = "POST", path: str = "/v1/chat/completions", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._key}", **options.pop("headers", {})}
        return httpx.request(method, f"{self._url}{path}", headers=headers, timeout=20, **options)


@pytest.fixture
def client(server: str, issued_key: IssuedKey) -> Client:
    return Client(server, issued_key.secret)


def assert_refused(response: httpx.Response, status: int, code: str | None, param: str | None = None) -> str:
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert (error["code"], error["param"]) == (code, param)
    assert response.headers["x-request-id"].startswith("req_")
    assert not Job.objects.exists()
    assert not Hold.objects.exists()
    return str(error["message"])


def assert_limit_headers(response: httpx.Response) -> None:
    for what in ("limit", "remaining", "reset"):
        for of in ("requests", "tokens"):
            assert f"x-ratelimit-{what}-{of}" in response.headers


@pytest.mark.parametrize("authorization", ["", "Basic abc", "Bearer"])
def test_it_asks_for_a_key(client: Client, authorization: str) -> None:
    response = client.send(json=BODY, headers={"authorization": authorization})
    assert "No API key provided" in assert_refused(response, 401, "invalid_api_key")


def test_it_refuses_an_unknown_key_without_repeating_it(client: Client) -> None:
    response = client.send(json=BODY, headers={"authorization": "Bearer lpu_sk_unknownunknown"})
    assert_refused(response, 401, "invalid_api_key")
    assert "unknownunknown" not in response.text


def test_it_refuses_a_revoked_key_at_once(client: Client, issued_key: IssuedKey, user: User) -> None:
    revoke_api_key(api_key=issued_key.api_key, revoked_by=user)
    assert_refused(client.send(json=BODY), 401, "expired_api_key")


def test_it_refuses_a_model_that_does_not_exist(client: Client) -> None:
    response = client.send(json={**BODY, "model": "gpt-nothing"})
    message = assert_refused(response, 404, "model_not_found", "model")
    assert message == "The model `gpt-nothing` does not exist or you do not have access to it."
    assert_limit_headers(response)


def test_it_refuses_a_model_that_staff_switched_off(client: Client) -> None:
    LanguageModel.objects.filter(pk=NULL).update(is_active=False)
    assert_refused(client.send(json=BODY), 404, "model_not_found", "model")


def test_it_hides_the_measuring_model_where_it_is_not_switched_on(client: Client, settings: Settings) -> None:
    settings.SERVES_NULL_MODEL = False
    assert_refused(client.send(json=BODY), 404, "model_not_found", "model")


def test_it_refuses_a_body_that_is_not_json(client: Client) -> None:
    response = client.send(content=b"{'model': }")
    assert_refused(response, 400, "invalid_json")
    assert_limit_headers(response)


def test_it_refuses_a_body_that_is_too_large(client: Client, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert_refused(client.send(content=b"x" * 1001), 413, "body_too_large")


def test_it_refuses_a_context_that_is_too_long(client: Client) -> None:
    LanguageModel.objects.filter(pk=NULL).update(context_window=64)
    response = client.send(json={**BODY, "messages": [{"role": "user", "content": "word " * 100}]})
    assert "maximum context length is 64 tokens" in assert_refused(response, 400, "context_length_exceeded", "messages")
    response = client.send(json={**BODY, "max_completion_tokens": 64})
    assert "64 in the completion" in assert_refused(response, 400, "context_length_exceeded", "messages")


def test_it_refuses_what_the_balance_does_not_cover_and_gives_the_admission_back(
    client: Client, organization: Organization
) -> None:
    Balance.objects.filter(pk=organization.pk).update(balance_pusd=1)
    RateLimit.objects.create(organization=organization, rpm=2, rpd=10, tpm=10**6, tpd=10**6)
    for _ in range(3):
        response = client.send(json=BODY)
        assert_refused(response, 402, "insufficient_balance")
        assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-ratelimit-remaining-requests"] == "10"


def test_it_refuses_what_is_over_a_limit_and_says_when_to_come_back(client: Client, organization: Organization) -> None:
    RateLimit.objects.create(organization=organization, rpm=0, rpd=10, tpm=10**6, tpd=10**6)
    response = client.send(json=BODY)
    assert_refused(response, 429, "rate_limit_exceeded")
    assert int(response.headers["retry-after"]) >= 1
    assert_limit_headers(response)


def test_it_refuses_a_request_that_alone_exceeds_the_minute(client: Client, organization: Organization) -> None:
    RateLimit.objects.create(organization=organization, rpm=10, rpd=10, tpm=100, tpd=10**6)
    response = client.send(json={**BODY, "max_completion_tokens": 1000})
    assert_refused(response, 413, "rate_limit_exceeded")
    assert_limit_headers(response)


@pytest.mark.parametrize("path", ["/v1/nothing", "/openai/v1/audio/speech", "/v1/chat/completions/"])
def test_it_answers_an_unknown_address_in_the_envelope(client: Client, path: str) -> None:
    assert client.send(path=path, json=BODY).json()["error"]["code"] == "unknown_url"


def test_it_says_which_method_an_address_takes(client: Client) -> None:
    response = client.send(method="GET")
    assert_refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_it_is_unavailable_while_no_worker_lives(client: Client) -> None:
    for key in get_redis().scan_iter("lpu:worker:*"):
        get_redis().delete(key)
    response = client.send(method="GET", path="/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "ok", "redis": "ok", "worker": "unavailable"}
    assert client.send(method="GET", path="/healthz").status_code == 200
