"""Jobs that one worker computes together: choices, faults, and what is left of them when they have ended."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Project
from accounts.types import Caller
from billing.models import Hold
from inference import delivery
from inference.delivery import claim_and_begin
from inference.dispatch import enqueue_job, ticket_of
from inference.engine_room import EngineRoom
from inference.models import Job
from inference.payloads import PromptPayload, new_payload_key
from inference.redis_clients import get_redis
from inference.registry import load_model
from inference.runs import as_token
from inference.services import create_job, start_attempt
from inference.streams import cancel_key
from lpu_backend import SamplingParams
from tests.inference.worker_bench import deliver_job, put_prompt, read_entries, read_job, write_tokens
from tests.serving import NULL, _NullVariant

pytestmark = pytest.mark.django_db

AddJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def empty_redis() -> None:
    get_redis().flushdb()


@pytest.fixture
def add_job(project: Project) -> AddJob:
    """A job that waits."""
    caller = Caller(organization_id=project.organization_id, project_id=project.pk, plan="free")

    def add(**fields: Any) -> Job:
        fields = {"temperature": 0.0, "top_p": 1.0, "seed": 1, "max_completion_tokens": 16, **fields}
        key = new_payload_key()
        job = create_job(caller=caller, model_id=NULL, prompt_tokens=3, payload_key=key, **fields)
        put_prompt(request_id=job.pk, key=key, payload=PromptPayload(prompt_ids=[1, 2, 3], stop=[]))
        enqueue_job(ticket_of(job))
        return job

    return add


def read_choices(job: Job) -> dict[int, list[int]]:
    """The indexes of each choice's tokens, as they were written."""
    indexes: dict[int, list[int]] = {}
    for token in (token for entry in read_entries(job) for token in entry.tokens):
        indexes.setdefault(token.choice, []).append(token.index)
    return indexes


def test_one_claim_takes_many_jobs_and_all_of_them_end(add_job: AddJob) -> None:
    jobs = [add_job() for _ in range(5)]
    room = EngineRoom(has_threads=False)
    assert claim_and_begin(NULL, room) == 5
    room.drive()
    assert {read_job(job.pk).state for job in jobs} == {Job.State.COMPLETED}
    assert not room.list_models()
    assert get_redis().keys("lpu:lease:*") == get_redis().keys("lpu:job:*:prompt") == []


def test_all_choices_of_a_job_are_computed_and_billed(add_job: AddJob) -> None:
    job = add_job(choices=3)
    deliver_job(job.pk)
    assert read_choices(job) == {choice: list(range(16)) for choice in range(3)}
    assert (read_job(job.pk).completion_tokens, read_job(job.pk).finish_reason) == (48, "stop")


def test_each_choice_goes_on_at_its_own_next_token_after_a_takeover(add_job: AddJob) -> None:
    job = add_job(choices=2)
    assert start_attempt(request_id=job.pk)
    model = load_model(NULL)
    steps = list(model.generate([1, 2, 3], SamplingParams(16)))
    write_tokens(job, model.program_hash, [*map(as_token, steps), *(as_token(step, 1) for step in steps[:4])])
    deliver_job(job.pk)
    assert read_choices(job) == {0: list(range(16)), 1: list(range(16))}
    assert read_job(job.pk).completion_tokens == 32


def test_an_engine_that_fails_bills_none_of_its_jobs_and_leaves_nothing_held(
    add_job: AddJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = _NullVariant(fails_at=3)
    monkeypatch.setattr(delivery, "load_model", lambda *_: broken)
    jobs = [add_job() for _ in range(2)]
    room = EngineRoom(has_threads=False)
    claim_and_begin(NULL, room)
    room.drive()
    assert {(read_job(job.pk).error_code, read_job(job.pk).cost_pusd) for job in jobs} == {("engine_fault", 0)}
    assert not Hold.objects.exclude(state=Hold.State.RELEASED).exists()
    assert not room.list_models()


def test_a_client_that_leaves_takes_no_other_job_along(add_job: AddJob) -> None:
    stays, leaves = add_job(), add_job()
    room = EngineRoom(has_threads=False)
    claim_and_begin(NULL, room)
    get_redis().set(cancel_key(leaves.pk), b"1")
    room.drive()
    assert (read_job(stays.pk).state, read_job(leaves.pk).state) == (Job.State.COMPLETED, Job.State.CANCELLED)
    assert 1 <= read_job(leaves.pk).completion_tokens < 16


def test_a_closed_room_claims_nothing(add_job: AddJob) -> None:
    job = add_job()
    room = EngineRoom(has_threads=False)
    room.close()
    delivery.work_off_queue(NULL, room)
    assert read_job(job.pk).state == Job.State.QUEUED
