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
from inference.limits import correct_tokens
from inference.models import Job
from lpu_backend import EmulatedTime

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job used, as its worker counted it."""

    completion_tokens: int
    first_token_at: datetime | None
    emulated: EmulatedTime | None


@transaction.atomic
def create_job(*, caller: Caller, **fields: Any) -> Job:
    """The job and its hold, in one transaction: neither exists without the other.

    Raises InsufficientBalanceError or NoPriceError, and then nothing was written.
    """
    job = Job(
        organization_id=caller.organization_id, project_id=caller.project_id, api_key_id=caller.api_key_id, **fields
    )
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
    """Marks the job as running once more; None if it has ended or was tried too often."""
    now = timezone.now()
    waiting = Job.objects.filter(pk=request_id, state__in=Job.ACTIVE, attempts__lt=MAX_ATTEMPTS)
    started = waiting.update(
        state=Job.State.RUNNING, attempts=F("attempts") + 1, started_at=Coalesce("started_at", now)
    )
    return Job.objects.get(pk=request_id) if started else None


def complete_job(*, request_id: str, finish_reason: str, usage: Usage) -> bool:
    return _end_job(request_id, Job.State.COMPLETED, usage=usage, finish_reason=finish_reason)


def cancel_job(*, request_id: str, usage: Usage | None) -> bool:
    """The client went away: the tokens made are billed; nothing is, when none was asked of the model (`usage` None)."""
    return _end_job(request_id, Job.State.CANCELLED, usage=usage, finish_reason="")


def fail_job(*, request_id: str, error_code: str) -> bool:
    """A fault of ours: nothing is billed, whatever was streamed."""
    return _end_job(request_id, Job.State.FAILED, usage=None, error_code=error_code)


def _end_job(request_id: str, state: Job.State, *, usage: Usage | None, **fields: str) -> bool:
    """Settles job and hold in one transaction, once: whoever comes second changes nothing and gets False."""
    with transaction.atomic():
        active = Job.objects.filter(pk=request_id, state__in=Job.ACTIVE)
        if not active.update(state=state, finished_at=timezone.now(), payload_key=None, **fields):
            return False
        job = Job.objects.get(pk=request_id)
        _charge(job, usage)
        job.save(update_fields=CHARGED_FIELDS)
        if job.api_key_id:
            touch_api_key(api_key_id=job.api_key_id)
    used_tokens = job.prompt_tokens + job.completion_tokens if usage else 0
    correct_tokens(organization_id=job.organization_id, model=job.model_id, request_id=job.pk, tokens=used_tokens)
    return True


CHARGED_FIELDS = (
    "prompt_tokens",
    "completion_tokens",
    "cost_pusd",
    "first_token_at",
    "chips",
    "cycles",
    "emulated_seconds",
    "emulated_tokens_per_second",
    "program_hash",
    "timing_mode",
)


def _charge(job: Job, usage: Usage | None) -> None:
    if usage is None:
        if job.state == Job.State.CANCELLED:
            job.prompt_tokens = 0
        release_hold(request_id=job.pk)
        return
    job.completion_tokens = usage.completion_tokens
    job.first_token_at = usage.first_token_at
    cost_pusd = settle_hold(
        request_id=job.pk, prompt_tokens=job.prompt_tokens, completion_tokens=usage.completion_tokens
    )
    if cost_pusd is None:
        raise RuntimeError(f"The hold of {job.pk} was closed before its job.")
    job.cost_pusd = cost_pusd
    if usage.emulated is not None:
        job.chips = usage.emulated.chips
        job.cycles = usage.emulated.cycles
        job.emulated_seconds = usage.emulated.seconds
        job.emulated_tokens_per_second = usage.emulated.tokens_per_second
        job.program_hash = usage.emulated.program_hash
        job.timing_mode = usage.emulated.mode


def requeue_job(*, request_id: str, enqueued_at: datetime) -> bool:
    """Claims the right to send a job to its queue again; False if somebody else just did, or it ended."""
    lost = Job.objects.filter(pk=request_id, state__in=Job.ACTIVE, enqueued_at=enqueued_at)
    return bool(lost.update(state=Job.State.QUEUED, enqueued_at=timezone.now()))
