"""A worker that dies in the middle of a job: another goes on with the same stream, and the bill is written once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization, Project
from accounts.types import Caller
from billing.models import Hold, Journal
from billing.selectors import get_funds
from inference.delivery import claim_and_begin
from inference.dispatch import claim_jobs, put_back, ticket_of
from inference.engine_room import EngineRoom
from inference.models import Job
from inference.payloads import PromptPayload, new_payload_key
from inference.redis_clients import get_redis
from inference.registry import load_model
from inference.runs import as_token
from inference.services import create_job, start_attempt
from inference.sweeping import sweep_jobs
from lpu_backend import SamplingParams
from tests.inference.worker_bench import deliver_job, is_waiting, put_prompt, read_job, read_tokens, write_tokens
from tests.serving import NULL

LONG_AGO = timedelta(seconds=20)


@pytest.fixture(autouse=True)
def empty_redis() -> None:
    get_redis().flushdb()


@pytest.fixture
def job(project: Project) -> Job:
    caller = Caller(organization_id=project.organization_id, project_id=project.pk, plan="free")
    fields: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "seed": 1, "max_completion_tokens": 16}
    job = create_job(caller=caller, model_id=NULL, prompt_tokens=3, payload_key=new_payload_key(), **fields)
    assert job.payload_key is not None
    put_prompt(request_id=job.pk, key=job.payload_key, payload=PromptPayload(prompt_ids=[1, 2, 3], stop=[]))
    return job


def die_after_tokens(job: Job, count: int) -> None:
    """What a worker leaves behind that was killed after `count` tokens: a running job, part of a stream, no lease."""
    assert start_attempt(request_id=job.pk)
    model = load_model(NULL)
    for step in model.generate([1, 2, 3], SamplingParams(job.max_completion_tokens, temperature=0.0, seed=1)):
        if step.index == count:
            break
        write_tokens(job, model.program_hash, [as_token(step)])
    Job.objects.filter(pk=job.pk).update(enqueued_at=timezone.now() - LONG_AGO)


@pytest.mark.parametrize("count", [1, 7, 15, 16])
def test_another_worker_goes_on_at_the_next_token(job: Job, count: int, organization: Organization) -> None:
    die_after_tokens(job, count)
    deliver_job(job.pk)
    assert [index for index, _ in read_tokens(job)] == list(range(16))
    job.refresh_from_db()
    assert (job.state, job.attempts, job.completion_tokens) == (Job.State.COMPLETED, 2, 16)
    assert Journal.objects.filter(kind=Journal.Kind.USAGE).count() == 1
    assert get_funds(organization.pk).held_pusd == 0


def test_a_worker_that_died_after_the_last_token_leaves_the_right_ending(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(max_completion_tokens=5)
    job.refresh_from_db()
    die_after_tokens(job, 5)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.finish_reason, job.completion_tokens) == ("length", 5)


def test_the_text_is_that_of_an_undisturbed_run(job: Job) -> None:
    die_after_tokens(job, 5)
    deliver_job(job.pk)
    undisturbed = [step.text for step in load_model(NULL).generate([1, 2, 3], SamplingParams(16))]
    assert [text for _, text in read_tokens(job)] == undisturbed


def test_the_sweeper_lets_a_job_without_a_lease_wait_again_once(job: Job) -> None:
    die_after_tokens(job, 5)
    assert sweep_jobs() == 1
    assert is_waiting(job)
    Job.objects.filter(pk=job.pk).update(enqueued_at=timezone.now() - LONG_AGO)
    get_redis().delete("lpu:sweep")
    assert sweep_jobs() == 0


def test_the_sweeper_finds_a_queued_job_that_redis_forgot(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(enqueued_at=timezone.now() - LONG_AGO)
    assert sweep_jobs() == 1
    assert is_waiting(job)


def test_the_sweeper_leaves_a_job_alone_that_waits_for_its_turn(job: Job) -> None:
    put_back(ticket_of(job))
    Job.objects.filter(pk=job.pk).update(enqueued_at=timezone.now() - LONG_AGO)
    assert sweep_jobs() == 0


def test_the_sweeper_leaves_a_job_alone_that_is_being_computed(job: Job) -> None:
    put_back(ticket_of(job))
    assert len(claim_jobs(NULL)) == 1
    Job.objects.filter(pk=job.pk).update(enqueued_at=timezone.now() - LONG_AGO)
    assert sweep_jobs() == 0
    assert not is_waiting(job)


def test_a_job_whose_prompt_redis_forgot_is_failed_by_the_sweeper_and_costs_nothing(job: Job) -> None:
    die_after_tokens(job, 5)
    get_redis().flushdb()
    assert sweep_jobs() == 1
    job.refresh_from_db()
    assert (job.state, job.error_code, job.cost_pusd) == (Job.State.FAILED, "prompt_lost", 0)
    assert Hold.objects.get().state == Hold.State.RELEASED


def test_a_job_that_waited_past_its_deadline_is_not_computed_and_costs_nothing(job: Job, settings: Any) -> None:
    settings.JOB_DEADLINE_S = -1
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code, job.cost_pusd) == (Job.State.FAILED, "deadline_exceeded", 0)
    assert read_tokens(job) == []


def test_the_sweeper_gives_up_after_three_deaths_and_frees_the_hold(job: Job, organization: Organization) -> None:
    for _ in range(3):
        die_after_tokens(job, 2)
    assert sweep_jobs() == 1
    job.refresh_from_db()
    assert (job.state, job.error_code) == (Job.State.FAILED, "engine_fault")
    assert not is_waiting(job)
    assert Hold.objects.get().state == Hold.State.RELEASED
    assert get_funds(organization.pk).held_pusd == 0


def test_a_job_is_not_computed_by_two_workers_at_once(job: Job) -> None:
    put_back(ticket_of(job))
    assert len(claim_jobs(NULL)) == 1
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts) == (Job.State.QUEUED, 0)


def test_a_worker_that_stops_hands_its_jobs_over_and_the_attempt_does_not_count(job: Job) -> None:
    put_back(ticket_of(job))
    room = EngineRoom(has_threads=False)
    claim_and_begin(NULL, room)
    room.close()
    room.put_back_all(NULL)
    room.drive()
    job.refresh_from_db()
    assert (job.state, job.attempts, job.moves) == (Job.State.QUEUED, 1, 1)
    assert is_waiting(job)
    deliver_job(job.pk)
    assert read_job(job.pk).state == Job.State.COMPLETED


def test_an_ended_job_is_not_computed_again(job: Job) -> None:
    deliver_job(job.pk)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.attempts, job.state) == (1, Job.State.COMPLETED)
    assert Journal.objects.filter(kind=Journal.Kind.USAGE).count() == 1


def test_a_lost_prompt_fails_the_job_and_frees_the_hold(job: Job, organization: Organization) -> None:
    get_redis().flushdb()
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.cost_pusd) == (Job.State.FAILED, 0)
    assert get_funds(organization.pk).held_pusd == 0


def test_a_job_cancelled_before_it_began_costs_nothing(job: Job, organization: Organization) -> None:
    get_redis().set(f"lpu:job:{job.pk}:cancel", b"1")
    before = get_funds(organization.pk).balance_pusd
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.prompt_tokens, job.completion_tokens) == (Job.State.CANCELLED, 0, 0)
    assert get_funds(organization.pk).balance_pusd == before
