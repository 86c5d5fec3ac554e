"""Public writes of inference: a job's beginning and its one ending."""

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
            max_completion_tokens=job.max_completion_tokens,
        )
        job.save(force_insert=True)
    return job


def start_attempt(*, request_id: str) -> Job | None:
    """Counts an attempt and marks the job as running, unless it has ended; None if it does not exist."""
    waiting = Job.objects.filter(pk=request_id, state__in=Job.ACTIVE)
    with write_turn():
        waiting.update(
            state=Job.State.RUNNING, attempts=F("attempts") + 1, started_at=Coalesce("started_at", timezone.now())
        )
    return Job.objects.select_related("deployment").filter(pk=request_id).first()


def complete_job(*, job: Job, finish_reason: str, usage: Usage) -> bool:
    return _end_job(job, Job.State.COMPLETED, usage, finish_reason=finish_reason)


def cancel_job(*, job: Job, usage: Usage | None) -> bool:
    """The client went away: the tokens made are billed; nothing is, when none was asked of the model (`usage` None)."""
    return _end_job(job, Job.State.CANCELLED, usage)


def fail_job(*, job: Job, error_code: str) -> bool:
    """A fault of ours: nothing is billed, whatever was streamed."""
    return _end_job(job, Job.State.FAILED, None, error_code=error_code)


def _end_job(job: Job, state: Job.State, usage: Usage | None, **fields: str) -> bool:
    """Closes hold and job in one transaction, once: whoever comes second changes nothing and gets False."""
    with write_turn(), transaction.atomic():
        counted = _settle(job, usage) if usage else _release(job, state)
        if counted is None:
            return False
        counted |= {"state": state, "finished_at": timezone.now(), "payload_key": None, **fields}
        if not Job.objects.filter(pk=job.pk, state__in=Job.ACTIVE).update(**counted):
            raise RuntimeError(f"The hold of {job.pk} was open, and the job had ended.")
        if job.api_key_id:
            touch_api_key(api_key_id=job.api_key_id)
    used_tokens = job.prompt_tokens + usage.completion_tokens if usage else 0
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
        "cost_pusd": cost_pusd,
        "first_token_at": usage.first_token_at,
        "chips": usage.emulated.chips,
        "cycles": usage.emulated.cycles,
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
