"""Public writes of inference: a job's beginning and its one ending."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.services import touch_api_key
from accounts.types import Caller
from billing.services import place_hold, release_hold, settle_hold
from inference.database import write_turn
from inference.limits import correct_tokens
from inference.models import Job
from lpu_backend import EmulatedTime

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job used, as its worker counted it."""

    completion_tokens: int
    first_token_at: datetime | None
    emulated: EmulatedTime
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class JobEnding:
    """How a job is to end. `usage` is None where nothing is billed: a fault of ours, or no model was asked."""

    job: Job
    state: Job.State
    usage: Usage | None
    finish_reason: str = ""
    error_code: str = ""


def create_job(*, caller: Caller, **fields: Any) -> Job:
    """The job and its hold, in one transaction: neither exists without the other.

    Raises InsufficientBalanceError or NoPriceError, and then nothing was written.
    """
    job = Job(
        organization_id=caller.organization_id, project_id=caller.project_id, api_key_id=caller.api_key_id, **fields
    )
    with write_turn(), transaction.atomic():
        place_hold(
            request_id=job.pk,
            organization_id=caller.organization_id,
            model=job.model_id,
            prompt_tokens=job.prompt_tokens,
            max_completion_tokens=job.max_completion_tokens * job.choices,
        )
        job.save(force_insert=True)
    return job


def start_attempts(request_ids: Sequence[str]) -> list[Job]:
    """Counts an attempt of each job that has not ended and marks it as running.

    Returns the jobs that exist, in the order asked for, each with its deployment; those that had ended are unchanged.
    """
    waiting = Job.objects.filter(pk__in=request_ids, state__in=Job.ACTIVE)
    with write_turn():
        waiting.update(
            state=Job.State.RUNNING, attempts=F("attempts") + 1, started_at=Coalesce("started_at", timezone.now())
        )
    jobs = Job.objects.select_related("deployment").in_bulk(request_ids)
    return [jobs[request_id] for request_id in request_ids if request_id in jobs]


def start_attempt(*, request_id: str) -> Job | None:
    """As `start_attempts`, for one; None if it does not exist."""
    return next(iter(start_attempts([request_id])), None)


def complete_job(*, job: Job, finish_reason: str, usage: Usage) -> bool:
    return bool(end_jobs([JobEnding(job, Job.State.COMPLETED, usage, finish_reason=finish_reason)]))


def cancel_job(*, job: Job, usage: Usage | None) -> bool:
    """The client went away: the tokens made are billed; nothing is, when none was asked of the model (`usage` None)."""
    return bool(end_jobs([JobEnding(job, Job.State.CANCELLED, usage)]))


def fail_job(*, job: Job, error_code: str) -> bool:
    """A fault of ours: nothing is billed, whatever was streamed."""
    return bool(end_jobs([JobEnding(job, Job.State.FAILED, None, error_code=error_code)]))


def end_jobs(endings: Sequence[JobEnding]) -> set[str]:
    """Closes jobs and their holds, each once. Returns the ids that were ended now: who comes second changes nothing.

    `ending.job` of those then says how it ended, as a fresh read of its row would.
    """
    return {ending.job.pk for ending in endings if _end_job(ending)}


def _end_job(ending: JobEnding) -> bool:
    job, usage = ending.job, ending.usage
    with write_turn(), transaction.atomic():
        counted = _settle(job, usage) if usage else _release(job, ending.state)
        if counted is None:
            return False
        counted |= {
            "state": ending.state,
            "finished_at": timezone.now(),
            "payload_key": None,
            "finish_reason": ending.finish_reason,
            "error_code": ending.error_code,
        }
        if not Job.objects.filter(pk=job.pk, state__in=Job.ACTIVE).update(**counted):
            raise RuntimeError(f"The hold of {job.pk} was open, and the job had ended.")
        if job.api_key_id:
            touch_api_key(api_key_id=job.api_key_id)
    used_tokens = job.prompt_tokens + usage.completion_tokens if usage else 0
    for name, value in counted.items():
        setattr(job, name, value)
    correct_tokens(organization_id=job.organization_id, model=job.model_id, request_id=job.pk, tokens=used_tokens)
    return True


def _settle(job: Job, usage: Usage) -> dict[str, Any] | None:
    """Charges the usage; what the job's row then says of it, or None when the hold was closed before."""
    tokens = usage.completion_tokens
    cost_pusd = settle_hold(request_id=job.pk, prompt_tokens=job.prompt_tokens, completion_tokens=tokens)
    if cost_pusd is None:
        return None
    return {
        "completion_tokens": tokens,
        "cached_tokens": usage.cached_tokens,
        "cost_pusd": cost_pusd,
        "first_token_at": usage.first_token_at,
        "chips": usage.emulated.chips,
        "cycles": usage.emulated.cycles,
        "saved_cycles": usage.emulated.saved_cycles,
        "emulated_seconds": usage.emulated.seconds,
        "emulated_tokens_per_second": usage.emulated.tokens_per_second,
        "program_hash": usage.emulated.program_hash,
        "timing_mode": usage.emulated.mode,
    }


def _release(job: Job, state: Job.State) -> dict[str, Any] | None:
    if not release_hold(request_id=job.pk):
        return None
    # Usage counts what was asked of a model: a job that was cancelled before that has no prompt tokens either.
    return {"prompt_tokens": 0} if state == Job.State.CANCELLED else {}


def put_back_job(*, job: Job) -> bool:
    """The job's chips failed under it: it waits again, and this attempt does not count. False if it has ended."""
    running = Job.objects.filter(pk=job.pk, state=Job.State.RUNNING)
    with write_turn():
        return bool(running.update(state=Job.State.QUEUED, moves=F("moves") + 1, enqueued_at=timezone.now()))


def requeue_job(*, request_id: str, enqueued_at: datetime) -> bool:
    """Claims the right to send a job to its queue again; False if somebody else just did, or it ended."""
    lost = Job.objects.filter(pk=request_id, state__in=Job.ACTIVE, enqueued_at=enqueued_at)
    return bool(lost.update(state=Job.State.QUEUED, enqueued_at=timezone.now()))
