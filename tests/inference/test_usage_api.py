from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from django.test import Client
from openai import OpenAI

from accounts.models import Project
from accounts.services import revoke_api_key
from accounts.types import IssuedKey
from tests.inference.test_usage import add_job

MIDNIGHT = datetime(2026, 1, 28, tzinfo=UTC)
START_S = int(MIDNIGHT.timestamp())
DAY_S = 86_400
USAGE_URL = "/v1/organization/usage/completions"


def get_usage(client: Client, issued_key: IssuedKey, path: str = USAGE_URL, **params: Any) -> Any:
    query = {"start_time": START_S, "end_time": START_S + DAY_S} | params
    given = {name: value for name, value in query.items() if value is not None}
    return client.get(path, given, headers={"authorization": f"Bearer {issued_key.secret}"})


@pytest.mark.parametrize("path", [USAGE_URL, f"/openai{USAGE_URL}"])
def test_usage_has_the_shape_of_openai(client: Client, project: Project, issued_key: IssuedKey, path: str) -> None:
    add_job(project)
    answer = get_usage(client, issued_key, path)
    assert answer.status_code == 200
    assert answer.json() == {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": START_S,
                "end_time": START_S + DAY_S,
                "results": [
                    {
                        "object": "organization.usage.completions.result",
                        "input_tokens": 10,
                        "output_tokens": 5,
                        "input_cached_tokens": 0,
                        "input_audio_tokens": 0,
                        "output_audio_tokens": 0,
                        "num_model_requests": 1,
                        "project_id": None,
                        "user_id": None,
                        "api_key_id": None,
                        "model": None,
                        "batch": None,
                        "service_tier": None,
                    }
                ],
            }
        ],
        "has_more": False,
        "next_page": None,
    }


def test_the_openai_sdk_reads_usage_in_strict_mode(client: Client, project: Project, issued_key: IssuedKey) -> None:
    add_job(project, api_key=issued_key.api_key)
    add_job(project, model_id="null-16")

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"authorization": request.headers["authorization"]}
        reply = client.get(request.url.raw_path.decode(), headers=headers)
        return httpx2.Response(reply.status_code, content=reply.content, headers=dict(reply.headers))

    sdk = OpenAI(
        api_key=issued_key.secret,
        admin_api_key=issued_key.secret,
        base_url="http://testserver/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
        _strict_response_validation=True,
    )
    page = sdk.admin.organization.usage.completions(
        start_time=START_S, end_time=START_S + DAY_S, models=["lpu-demo"], group_by=["model", "api_key_id"]
    )
    (result,) = page.data[0].results
    assert result.object == "organization.usage.completions.result"
    assert (result.model, result.api_key_id) == ("lpu-demo", issued_key.api_key.pk)
    assert (result.input_tokens, result.output_tokens, result.num_model_requests) == (10, 5, 1)


def test_pages_follow_each_other_without_gap_or_overlap(
    client: Client, project: Project, issued_key: IssuedKey
) -> None:
    for hour in range(5):
        add_job(project, created_at=MIDNIGHT + timedelta(hours=hour))
    buckets: list[dict[str, Any]] = []
    page = None
    while True:
        # The range begins within an hour: the first bucket is short, the others are whole.
        answer = get_usage(
            client,
            issued_key,
            start_time=START_S - 60,
            end_time=START_S + 5 * 3600,
            bucket_width="1h",
            limit=2,
            page=page,
        ).json()
        buckets += answer["data"]
        page = answer["next_page"]
        assert answer["has_more"] == (page is not None)
        if page is None:
            break
    assert [bucket["start_time"] - START_S for bucket in buckets] == [-60, 0, 3600, 7200, 10800, 14400]
    assert [len(bucket["results"]) for bucket in buckets] == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(("bucket_width", "count"), [("1m", 60), ("1h", 24), ("1d", 7)])
def test_a_page_has_as_many_buckets_as_openai_gives_by_default(
    client: Client, issued_key: IssuedKey, bucket_width: str, count: int
) -> None:
    answer = get_usage(client, issued_key, end_time=None, bucket_width=bucket_width).json()
    assert len(answer["data"]) == count


def test_a_key_sees_its_own_project_only(client: Client, project: Project, issued_key: IssuedKey) -> None:
    other = Project.objects.create(organization=project.organization, name="Other")
    add_job(other)
    assert get_usage(client, issued_key).json()["data"][0]["results"] == []
    refused = get_usage(client, issued_key, project_ids=other.pk)
    assert refused.status_code == 403
    assert refused.json()["error"]["param"] == "project_ids"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"start_time": None}, "start_time"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"start_time": START_S * 1000}, "start_time"),
        ({"start_time": START_S + DAY_S}, "start_time"),
        ({"end_time": "1.5"}, "end_time"),
        ({"bucket_width": "1w"}, "bucket_width"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by[]": "user_id"}, "group_by"),
        ({"limit": 0}, "limit"),
        ({"limit": 32}, "limit"),
        ({"page": "2"}, "page"),
        ({"page": "page_1"}, "page"),
        ({"batch": "true"}, "batch"),
    ],
)
def test_an_error_names_the_parameter(
    client: Client, issued_key: IssuedKey, params: dict[str, Any], param: str
) -> None:
    answer = get_usage(client, issued_key, **params)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert param in error["message"]


def test_it_rejects_a_missing_key(client: Client, db: None) -> None:
    answer = client.get(USAGE_URL)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_it_rejects_a_revoked_key(client: Client, issued_key: IssuedKey) -> None:
    revoke_api_key(api_key=issued_key.api_key, revoked_by=None)
    answer = get_usage(client, issued_key)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "expired_api_key"
    assert issued_key.secret not in answer.content.decode()


def test_it_refuses_another_method(client: Client, issued_key: IssuedKey) -> None:
    answer = client.post(USAGE_URL, headers={"authorization": f"Bearer {issued_key.secret}"})
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
