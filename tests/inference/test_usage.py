from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from accounts.models import Organization, Project
from accounts.services import create_organization
from accounts.types import IssuedKey
from inference.models import Job, LanguageModel
from inference.selectors import get_model, list_models, list_usage
from inference.types import UsageBucket, UsageRow

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def add_job(project: Project, **fields: Any) -> Job:
    values: dict[str, Any] = {
        "organization_id": project.organization_id,
        "model_id": "lpu-demo",
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 1,
        "max_completion_tokens": 16,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_pusd": 900_000,
        "state": Job.State.COMPLETED,
        "created_at": NOON,
    }
    return Job.objects.create(project=project, **(values | fields))


def list_rows(organization: Organization, **fields: Any) -> list[UsageRow]:
    values: dict[str, Any] = {"start_at": NOON - DAY, "end_at": NOON + DAY, "bucket_width": "1d"}
    buckets = list_usage(organization_id=organization.pk, **(values | fields))
    return [row for bucket in buckets for row in bucket.rows]


def test_usage_adds_up_the_billed_jobs_of_a_bucket(organization: Organization, project: Project) -> None:
    add_job(project)
    add_job(project, state=Job.State.CANCELLED, completion_tokens=2, cost_pusd=660_000, cached_tokens=8)
    expected = UsageRow(requests=2, prompt_tokens=20, completion_tokens=7, cost_pusd=1_560_000, cached_tokens=8)
    assert list_rows(organization) == [expected]


@pytest.mark.parametrize("state", [Job.State.QUEUED, Job.State.RUNNING, Job.State.FAILED])
def test_usage_leaves_out_jobs_that_were_not_billed(
    organization: Organization, project: Project, state: Job.State
) -> None:
    add_job(project, state=state)
    assert list_rows(organization) == []


def test_usage_leaves_out_jobs_cancelled_before_they_ran(organization: Organization, project: Project) -> None:
    add_job(project, state=Job.State.CANCELLED, prompt_tokens=0, completion_tokens=0, cost_pusd=0)
    assert list_rows(organization) == []


def test_usage_leaves_out_other_organizations(organization: Organization, project: Project) -> None:
    add_job(project)
    owner = organization.memberships.get().user
    assert list_rows(create_organization(owner=owner, name="Another")) == []


@pytest.mark.parametrize(
    ("bucket_width", "width", "count"),
    [("1m", timedelta(minutes=1), 180), ("1h", timedelta(hours=1), 3), ("1d", DAY, 1)],
)
@pytest.mark.django_db
def test_every_bucket_of_the_range_is_there_even_when_empty(bucket_width: Any, width: timedelta, count: int) -> None:
    start_at = datetime(2026, 1, 28, tzinfo=UTC)
    end_at = start_at + (DAY if bucket_width == "1d" else timedelta(hours=3))
    buckets = list_usage(organization_id="org_none", start_at=start_at, end_at=end_at, bucket_width=bucket_width)
    assert len(buckets) == count
    assert buckets[0] == UsageBucket(start_at=start_at, end_at=start_at + width, rows=[])
    assert buckets[-1].end_at == end_at


@pytest.mark.parametrize(("bucket_width", "position"), [("1m", 754), ("1h", 12), ("1d", 0)])
def test_a_job_falls_into_the_bucket_of_its_creation_in_utc(
    organization: Organization, project: Project, bucket_width: Any, position: int
) -> None:
    add_job(project, created_at=datetime(2026, 1, 28, 12, 34, 59, 999_999, tzinfo=UTC))
    start_at = datetime(2026, 1, 28, tzinfo=UTC)
    buckets = list_usage(
        organization_id=organization.pk, start_at=start_at, end_at=start_at + DAY, bucket_width=bucket_width
    )
    assert [index for index, bucket in enumerate(buckets) if bucket.rows] == [position]


def test_the_outer_buckets_are_cut_to_the_range(organization: Organization, project: Project) -> None:
    for created_at in (NOON - timedelta(seconds=1), NOON, NOON + DAY):
        add_job(project, created_at=created_at)
    buckets = list_usage(organization_id=organization.pk, start_at=NOON, end_at=NOON + DAY, bucket_width="1d")
    midnight = datetime(2026, 1, 29, tzinfo=UTC)
    assert [(bucket.start_at, bucket.end_at) for bucket in buckets] == [(NOON, midnight), (midnight, NOON + DAY)]
    assert [[row.requests for row in bucket.rows] for bucket in buckets] == [[1], []]


@override_settings(SERVES_NULL_MODEL=True)
def test_usage_can_be_split_by_model_project_and_key(
    organization: Organization, project: Project, issued_key: IssuedKey
) -> None:
    other = Project.objects.create(organization=organization, name="Other")
    add_job(project, api_key=issued_key.api_key)
    add_job(project)
    add_job(other, model_id="null-16")
    rows = list_rows(organization, group_by=("model", "project_id", "api_key_id"))
    split = [(row.model, row.project_id, row.api_key_id) for row in rows]
    assert split == [
        ("lpu-demo", project.pk, issued_key.api_key.pk),
        ("lpu-demo", project.pk, None),
        ("null-16", other.pk, None),
    ]


def test_usage_can_be_filtered_by_model_project_and_key(
    organization: Organization, project: Project, issued_key: IssuedKey
) -> None:
    add_job(project, api_key=issued_key.api_key, prompt_tokens=1)
    add_job(Project.objects.create(organization=organization, name="Other"), prompt_tokens=2)
    add_job(project, model_id="null-16", prompt_tokens=4)

    def count_prompt_tokens(**filters: Any) -> int:
        return sum(row.prompt_tokens for row in list_rows(organization, **filters))

    assert count_prompt_tokens() == 7
    assert count_prompt_tokens(models=["lpu-demo"]) == 3
    assert count_prompt_tokens(project_ids=[project.pk]) == 5
    assert count_prompt_tokens(api_key_ids=[issued_key.api_key.pk]) == 1


def test_usage_takes_one_query_whatever_the_number_of_buckets(
    organization: Organization, project: Project, django_assert_num_queries: Any
) -> None:
    add_job(project)
    with django_assert_num_queries(1):
        list_rows(organization, bucket_width="1m", group_by=("model",))


@pytest.mark.django_db
def test_the_default_model_comes_first_and_the_null_model_is_hidden() -> None:
    LanguageModel.objects.create(id="a-model", display_name="A", context_window=1)
    assert [model.pk for model in list_models()] == ["lpu-demo", "a-model"]
    assert get_model("null-16") is None


@override_settings(SERVES_NULL_MODEL=True)
@pytest.mark.django_db
def test_the_null_model_is_served_where_the_settings_say_so() -> None:
    assert [model.pk for model in list_models()] == ["lpu-demo", "null-16"]
    assert get_model("null-16") is not None


@pytest.mark.django_db
def test_an_inactive_model_is_not_served() -> None:
    LanguageModel.objects.filter(pk="lpu-demo").update(is_active=False)
    assert list_models() == []
    assert get_model("lpu-demo") is None
