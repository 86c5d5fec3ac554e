"""Jobs that end together: each once, each at its own cost, and none at another's expense."""

from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization, Project, User
from accounts.selectors import get_default_project
from accounts.services import create_api_key
from accounts.types import Caller
from billing.models import Hold, Journal, Posting
from billing.selectors import get_funds
from console.sign_up import set_up_organization
from inference.models import Job
from inference.reconciliation import reconcile_billing
from inference.redis_clients import get_redis
from inference.selectors import ending_of, get_ending
from inference.services import JobEnding, Usage, create_job, create_jobs, end_jobs, new_job, start_attempts
from lpu_backend import EmulatedTime
from tests.billing.concurrency import run_at_once

INPUT_PUSD, OUTPUT_PUSD = 50_000, 80_000
EMULATED = EmulatedTime(1, 7, 7e-9, 2.5, "sha256:abc", "null", saved_cycles=3)
COMPLETED = Job.State.COMPLETED


@pytest.fixture(autouse=True)
def empty_redis() -> None:
    get_redis().flushdb()


def job_of(project: Project, **fields: Any) -> Job:
    """A job of 100 prompt tokens and at most 50 of an answer, not written yet."""
    values: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "seed": 1, "max_completion_tokens": 50}
    caller = Caller(organization_id=project.organization_id, project_id=project.pk, plan="free")
    return new_job(caller=caller, **{"model_id": "null-16", "prompt_tokens": 100, **values, **fields})


def written(project: Project, count: int, **fields: Any) -> list[Job]:
    jobs = create_jobs([job_of(project, **fields) for _ in range(count)])
    return [job for job in jobs if isinstance(job, Job)]


def used(completion_tokens: int = 10, cached_tokens: int = 0) -> Usage:
    return Usage(completion_tokens, timezone.now(), EMULATED, cached_tokens)


def completions(jobs: list[Job], usage: Usage) -> list[JobEnding]:
    return [JobEnding(job, COMPLETED, usage, finish_reason="stop") for job in jobs]


def is_in_balance() -> bool:
    found = reconcile_billing()
    return found.differences == [] and found.usage_pusd == found.journal_pusd


@pytest.mark.django_db
def test_jobs_that_end_together_are_each_charged_for_their_own_use(project: Project) -> None:
    jobs = written(project, 3)
    endings = [JobEnding(job, COMPLETED, used(tokens), "stop") for tokens, job in enumerate(jobs, start=1)]
    assert end_jobs(endings) == {job.pk for job in jobs}
    assert [Job.objects.get(pk=job.pk).cost_pusd for job in jobs] == [
        100 * INPUT_PUSD + tokens * OUTPUT_PUSD for tokens in (1, 2, 3)
    ]
    assert is_in_balance()


@pytest.mark.django_db
def test_each_kind_of_ending_has_its_own_bill(project: Project) -> None:
    completed, cancelled, unasked, failed = jobs = written(project, 4)
    end_jobs(
        [
            JobEnding(completed, COMPLETED, used(20), "length"),
            JobEnding(cancelled, Job.State.CANCELLED, used(5)),
            JobEnding(unasked, Job.State.CANCELLED, None),
            JobEnding(failed, Job.State.FAILED, None, error_code="engine_fault"),
        ]
    )
    rows = [Job.objects.get(pk=job.pk) for job in jobs]
    assert [row.completion_tokens for row in rows] == [20, 5, 0, 0]
    assert [row.prompt_tokens for row in rows] == [100, 100, 0, 100]
    assert [row.cost_pusd for row in rows] == [6_600_000, 5_400_000, 0, 0]
    assert [row.error_code for row in rows] == ["", "", "", "engine_fault"]
    assert get_funds(project.organization_id).held_pusd == 0
    assert is_in_balance()


@pytest.mark.django_db
def test_an_ended_job_says_what_its_row_says(project: Project) -> None:
    (job,) = written(project, 1, payload_key=b"key")
    end_jobs(completions([job], used(cached_tokens=64)))
    ending = ending_of(job)
    assert ending == get_ending(job.pk)
    assert (ending.cached_tokens, ending.emulated["saved_cycles"]) == (64, 3)
    assert job.payload_key is None is Job.objects.get().payload_key


@pytest.mark.django_db
def test_who_comes_second_changes_nothing(project: Project) -> None:
    jobs = written(project, 2)
    assert end_jobs(completions(jobs[:1] * 2, used(1))) == {jobs[0].pk}
    assert end_jobs(completions(jobs, used(40))) == {jobs[1].pk}
    assert Job.objects.get(pk=jobs[0].pk).completion_tokens == 1
    assert is_in_balance()


@pytest.mark.django_db
def test_twenty_jobs_take_as_many_statements_as_two(project: Project) -> None:
    counts = []
    for count in (2, 20):
        with CaptureQueriesContext(connection) as queries:
            jobs = written(project, count)
            start_attempts([job.pk for job in jobs])
            end_jobs(completions(jobs, used()))
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 20


@pytest.mark.django_db
def test_a_job_that_cannot_be_charged_fails_and_the_others_end(project: Project) -> None:
    first, bad, last = written(project, 3)
    endings = [JobEnding(job, COMPLETED, used(51 if job is bad else 50), "length") for job in (first, bad, last)]
    assert end_jobs(endings) == {first.pk, bad.pk, last.pk}
    rows = [Job.objects.get(pk=job.pk) for job in (first, bad, last)]
    assert [row.state for row in rows] == ["completed", "failed", "completed"]
    assert [row.cost_pusd for row in rows] == [9_000_000, 0, 9_000_000]
    assert get_funds(project.organization_id).held_pusd == 0
    assert is_in_balance()


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_settle_the_same_batch_bill_it_once(project: Project) -> None:
    jobs = written(project, 8)
    batches = [completions(jobs, used()), completions(jobs[::-1], used())] * 2
    ended = run_at_once(*[partial(end_jobs, batch) for batch in batches])
    assert sorted(job for ids in ended if isinstance(ids, set) for job in ids) == sorted(job.pk for job in jobs)
    assert Journal.objects.filter(kind=Journal.Kind.USAGE).count() == 8
    assert is_in_balance()


@pytest.mark.django_db(transaction=True)
def test_batches_of_the_same_organizations_in_any_order_do_not_block_each_other(project: Project) -> None:
    other = set_up_organization(owner=User.objects.create_user("grace@example.com", "long enough secret"))
    ours, theirs = (written(one, 6) for one in (project, get_default_project(other)))
    pairs = [
        (mine, another) if number % 2 else (another, mine)
        for number, (mine, another) in enumerate(zip(ours, theirs, strict=True))
    ]
    calls = [partial(end_jobs, completions(list(pair), used())) for pair in pairs]
    assert sum(len(ids) for ids in run_at_once(*calls) if isinstance(ids, set)) == 12
    assert is_in_balance()


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_batches_exactly_what_the_balance_affords_is_admitted(
    project: Project, organization: Organization
) -> None:
    tenth = get_funds(organization.pk).available_pusd // 10 // OUTPUT_PUSD
    job = partial(job_of, project, prompt_tokens=0, max_completion_tokens=tenth)
    outcomes = run_at_once(*[partial(create_jobs, [job(), job(), job(), job()]) for _ in range(8)])
    admitted = [one for batch in outcomes if isinstance(batch, list) for one in batch if isinstance(one, Job)]
    assert len(admitted) == 10 == Job.objects.count() == Hold.objects.count()
    assert get_funds(organization.pk).held_pusd == 10 * tenth * OUTPUT_PUSD


@pytest.mark.django_db
def test_one_that_is_refused_keeps_no_other_out(project: Project) -> None:
    jobs = [job_of(project), job_of(project, max_completion_tokens=2 * 10**9), job_of(project)]
    outcomes = create_jobs(jobs)
    assert [isinstance(outcome, Job) for outcome in outcomes] == [True, False, True]
    again = create_jobs([jobs[0], job_of(project)])
    assert [isinstance(outcome, Job) for outcome in again] == [False, True]
    assert Hold.objects.count() == Job.objects.count() == 3


@pytest.mark.django_db
def test_a_key_that_was_used_is_noted(project: Project, user: User) -> None:
    key = create_api_key(project=project, name="k", created_by=user).api_key
    caller = Caller(project.organization_id, project.pk, "free", key.pk)
    fields: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "seed": 1, "max_completion_tokens": 5}
    job = create_job(caller=caller, model_id="null-16", prompt_tokens=1, **fields)
    end_jobs(completions([job], used(1)))
    key.refresh_from_db()
    assert key.last_used_at is not None


USES = st.tuples(st.integers(0, 100), st.integers(0, 100), st.booleans(), st.integers(1, 3))


def formula_pusd(cached: int, completion: int, is_batch: bool) -> int:
    if is_batch:
        return (100 * INPUT_PUSD + completion * OUTPUT_PUSD) // 2
    return (100 - cached) * INPUT_PUSD + cached * INPUT_PUSD // 2 + completion * OUTPUT_PUSD


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uses=st.lists(USES, min_size=1, max_size=6))
def test_whatever_was_used_postings_are_the_formula_to_the_picodollar(
    uses: list[tuple[int, int, bool, int]], project: Project
) -> None:
    before_pusd = get_funds(project.organization_id).balance_pusd
    endings, expected_pusd = [], 0
    for cached, completion, is_batch, choices in uses:
        tier = Job.ServiceTier.BATCH if is_batch else Job.ServiceTier.ON_DEMAND
        (job,) = written(project, 1, service_tier=tier, choices=choices, max_completion_tokens=100)
        endings.append(JobEnding(job, COMPLETED, used(completion, cached), "stop"))
        expected_pusd += formula_pusd(cached, completion, is_batch)
    end_jobs(endings)
    of_these = Posting.objects.filter(journal__reference__in=[ending.job.pk for ending in endings])
    charged = dict.fromkeys(Posting.Account.values, 0)
    for posting in of_these:
        charged[posting.account] += posting.amount_pusd
    assert charged["revenue"] == -charged["customer"] == expected_pusd
    assert get_funds(project.organization_id).balance_pusd == before_pusd - expected_pusd
    assert is_in_balance()
