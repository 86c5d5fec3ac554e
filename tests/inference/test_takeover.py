"""A worker that dies in the middle of a job: another goes on with the same stream, and the bill is written once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization, Project
from accounts.types import Caller
from billing.models import Hold, Journal
from billing.selectors import get_funds
from inference import delivery, leases, sweeping
from inference.delivery import deliver_job
from inference.models import Job
from inference.payloads import PromptPayload, StreamEntry, StreamToken, new_payload_key, open_entry
from inference.redis_clients import get_redis
from inference.services import create_job, start_attempt
from inference.streams import FIELD, StreamWriter, put_prompt, stream_key
from inference.sweeping import sweep_jobs
from inference.types import Bound
from tests.serving import NULL

UNBOUNDED = Bound(NULL)
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


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that the sweeper sent to their queue again."""
    sent: list[str] = []
    monkeypatch.setattr(sweeping, "enqueue_job", lambda *, request_id, model: sent.append(request_id))
    return sent


def read_entries(job: Job) -> list[StreamEntry]:
    entries = get_redis().xrange(stream_key(job.pk))
    return [open_entry(job.payload_key or b"", job.pk, fields[FIELD]) for _, fields in entries if fields[FIELD]]


def read_tokens(job: Job) -> list[tuple[int, str]]:
    return [(token.index, token.text) for entry in read_entries(job) for token in entry.tokens]


def die_after_tokens(job: Job, count: int) -> None:
    """What a worker leaves behind that was killed after `count` tokens: a running job, part of a stream, no lease."""
    assert start_attempt(request_id=job.pk)
    model = delivery.load_model(NULL)
    writer = StreamWriter(request_id=job.pk, key=job.payload_key or b"", program_hash=model.program_hash)
    params = delivery.SamplingParams(max_completion_tokens=16, temperature=0.0, seed=1)
    for step in model.generate([1, 2, 3], params):
        if step.index == count:
            break
        writer.write_tokens([StreamToken(step.index, step.text, step.token_id)])
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
    die_after_tokens(job, 5)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.finish_reason, job.completion_tokens) == ("length", 5)


def test_the_text_is_that_of_an_undisturbed_run(job: Job) -> None:
    die_after_tokens(job, 5)
    deliver_job(job.pk)
    model = delivery.load_model(NULL)
    undisturbed = [step.text for step in model.generate([1, 2, 3], delivery.SamplingParams(max_completion_tokens=16))]
    assert [text for _, text in read_tokens(job)] == undisturbed


def test_the_sweeper_sends_a_job_without_a_lease_to_its_queue_once(job: Job, queued: list[str]) -> None:
    die_after_tokens(job, 5)
    assert sweep_jobs() == 1
    get_redis().delete("lpu:sweep")
    assert sweep_jobs() == 0
    assert queued == [job.pk]


def test_the_sweeper_finds_a_message_that_died_with_a_worker(job: Job, queued: list[str]) -> None:
    Job.objects.filter(pk=job.pk).update(enqueued_at=timezone.now() - LONG_AGO)
    get_redis().rpush("model.null-16", b"the message of another job")
    assert sweep_jobs() == 0
    get_redis().delete("model.null-16", "lpu:sweep")
    assert sweep_jobs() == 1
    assert queued == [job.pk]


def test_the_sweeper_leaves_a_job_alone_that_is_being_computed(job: Job, queued: list[str]) -> None:
    die_after_tokens(job, 5)
    with leases.take_lease(job.pk, UNBOUNDED) as is_ours:
        assert is_ours
        assert sweep_jobs() == 0
    assert queued == []


def test_the_sweeper_gives_up_after_three_deaths_and_frees_the_hold(
    job: Job, queued: list[str], organization: Organization
) -> None:
    for _ in range(3):
        die_after_tokens(job, 2)
    assert sweep_jobs() == 1
    job.refresh_from_db()
    assert (job.state, job.error_code, queued) == (Job.State.FAILED, "engine_fault", [])
    assert Hold.objects.get().state == Hold.State.RELEASED
    assert get_funds(organization.pk).held_pusd == 0


def test_a_job_is_not_computed_by_two_workers_at_once(job: Job) -> None:
    with leases.take_lease(job.pk, UNBOUNDED):
        deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts) == (Job.State.QUEUED, 0)


def test_an_ended_job_is_not_computed_again(job: Job) -> None:
    deliver_job(job.pk)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert job.attempts == 1
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
