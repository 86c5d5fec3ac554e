"""Public writes of inference: a job's beginning and its one ending."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.services import touch_api_keys
from accounts.types import Caller
from billing.models import Hold
from billing.row_inserts import insert_rows
from billing.services import place_holds
from billing.types import HoldRequest, UsedTokens
from inference.database import write_turn
from inference.ending import JobEnding, Usage, end_each
from inference.limits import correct_tokens
from inference.models import Deployment, Job

__all__ = (
    "MAX_ATTEMPTS",
    "JobEnding",
    "Usage",
    "cancel_job",
    "complete_job",
    "create_job",
    "create_jobs",
    "end_jobs",
    "fail_job",
    "new_job",
    "put_back_job",
    "requeue_job",
    "start_attempt",
    "start_attempts",
)

MAX_ATTEMPTS = 3
# One statement for what a worker takes up: its rows come back as they then are. RETURNING needs SQLite 3.35.
START = """
UPDATE inference_job SET state = 'running', attempts = attempts + 1, started_at = COALESCE(started_at, %s)
WHERE id IN ({places}) AND state IN ('queued', 'running') RETURNING *
"""


def create_job(*, caller: Caller, **fields: Any) -> Job:
    """The job and its hold, in one transaction: neither exists without the other.

    Raises InsufficientBalanceError or NoPriceError, and then nothing was written.
    """
    (created,) = create_jobs([new_job(caller=caller, **fields)])
    if isinstance(created, Exception):
        raise created
    return created


def new_job(*, caller: Caller, **fields: Any) -> Job:
    """A job of the caller's that is not written yet."""
    return Job(
        organization_id=caller.organization_id, project_id=caller.project_id, api_key_id=caller.api_key_id, **fields
    )


def create_jobs(jobs: Sequence[Job]) -> list[Job | Exception]:
    """As `create_job`, for many in one transaction: in their order, each job, or why it was not written.

    One that fails does not keep out the others. Raises OperationalError where the database does not answer.
    """
    try:
        return _create_together(jobs)
    except (InterfaceError, OperationalError):
        raise
    except Exception as error:
        return [error] if len(jobs) == 1 else [outcome for job in jobs for outcome in create_jobs([job])]


def _create_together(jobs: Sequence[Job]) -> list[Job | Exception]:
    requests = [HoldRequest(job.pk, job.organization_id, job.model_id, _most(job)) for job in jobs]
    with write_turn(), transaction.atomic():
        placed = place_holds(requests)
        insert_rows([job for job in jobs if isinstance(placed[job.pk], Hold)])
    outcomes = [(job, placed[job.pk]) for job in jobs]
    return [outcome if isinstance(outcome, Exception) else job for job, outcome in outcomes]


def _most(job: Job) -> UsedTokens:
    return UsedTokens(
        prompt=job.prompt_tokens,
        completion=job.max_completion_tokens * job.choices,
        is_batch=job.service_tier == Job.ServiceTier.BATCH,
    )


def start_attempts(request_ids: Sequence[str]) -> list[Job]:
    """Counts an attempt of each job that has not ended and marks it as running.

    Returns the jobs that exist, in the order asked for, each with its deployment; those that had ended are unchanged.
    """
    if not request_ids:
        return []
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    statement = START.format(places=", ".join(["%s"] * len(request_ids)))
    with write_turn():
        jobs = {job.pk: job for job in Job.objects.raw(statement, [now, *request_ids])}
    ended = [request_id for request_id in request_ids if request_id not in jobs]
    jobs |= Job.objects.in_bulk(ended) if ended else {}
    deployment_ids = {job.deployment_id for job in jobs.values() if job.deployment_id}
    deployments = Deployment.objects.in_bulk(deployment_ids) if deployment_ids else {}
    for job in jobs.values():
        job.deployment = deployments[job.deployment_id] if job.deployment_id else None
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
    """Closes jobs and their holds in one transaction, each once, with as many statements for a hundred as for one.

    Returns the ids that were ended now: who comes second changes nothing. `ending.job` of those then says how it
    ended, as a fresh read of its row would. A job that cannot be charged as asked is a fault of ours: it fails,
    unbilled, and the others end as they should. Raises OperationalError where the database does not answer.
    """
    first = {ending.job.pk: ending for ending in reversed(endings)}
    ended = end_each([first[request_id] for request_id in dict.fromkeys(ending.job.pk for ending in endings)])
    if ended:
        touch_api_keys(api_key_ids={job.api_key_id for job in ended if job.api_key_id})
        correct_tokens([(job, _counted_tokens(job)) for job in ended])
    return {job.pk for job in ended}


def _counted_tokens(job: Job) -> int:
    """What an ended job counts for in its organization's limits: cached tokens do not, nor does what failed."""
    if job.state == Job.State.FAILED or not job.prompt_tokens:
        return 0
    return job.prompt_tokens - job.cached_tokens + job.completion_tokens


def put_back_job(*, job: Job) -> bool:
    """The job's chips failed under it: it waits again, and this attempt does not count. False if it has ended."""
    running = Job.objects.filter(pk=job.pk, state=Job.State.RUNNING)
    with write_turn():
        return bool(running.update(state=Job.State.QUEUED, moves=F("moves") + 1, enqueued_at=timezone.now()))


def requeue_job(*, request_id: str, enqueued_at: datetime) -> bool:
    """Claims the right to send a job to its queue again; False if somebody else just did, or it ended."""
    lost = Job.objects.filter(pk=request_id, state__in=Job.ACTIVE, enqueued_at=enqueued_at)
    return bool(lost.update(state=Job.State.QUEUED, enqueued_at=timezone.now()))
