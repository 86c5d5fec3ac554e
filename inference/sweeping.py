"""Jobs that nobody holds and that wait nowhere, because their worker died or Redis forgot them: each waits again, or,
when that cannot help, is failed and its hold released."""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from inference.dispatch import finish_jobs, list_leased, list_waiting, put_back, ticket_of
from inference.models import Job
from inference.redis_clients import get_redis, redis_key
from inference.services import MAX_ATTEMPTS, fail_job, requeue_job
from inference.streams import has_prompt
from inference.types import Held

logger = logging.getLogger(__name__)

SETTLING_IN = timedelta(seconds=2)  # a job this young may be between its row and its queue
PROMPT_LATE = timedelta(seconds=30)  # its prompt comes to Redis with it: after so long, neither comes any more
BATCH = 2_000


def sweep_jobs() -> int:
    """Looks once at every active job that nobody holds; the number acted on. One process a second does so."""
    if not get_redis().set(redis_key("sweep"), b"1", nx=True, px=900):
        return 0
    now = timezone.now()
    active = Job.objects.filter(state__in=Job.ACTIVE, enqueued_at__lt=now - SETTLING_IN).order_by("enqueued_at")
    jobs = list(active.select_related("deployment").defer("payload_key")[:BATCH])
    if not jobs:
        return 0
    leased = list_leased([job.pk for job in jobs])
    # After the leases: a job that was claimed in between waits no longer, and had none before.
    waiting = list_waiting(jobs)
    return sum(_rescue(job, is_waiting=job.pk in waiting) for job in jobs if job.pk not in leased)


def _rescue(job: Job, *, is_waiting: bool) -> bool:
    if job.created_at < timezone.now() - timedelta(seconds=settings.JOB_DEADLINE_S):
        return _give_up(job, "deadline_exceeded")
    if job.state == Job.State.RUNNING and job.attempts - job.moves >= MAX_ATTEMPTS:
        return _give_up(job, "engine_fault")
    if is_waiting or list_leased([job.pk]):
        return False
    if not has_prompt(job.pk):
        is_lost = job.state == Job.State.RUNNING or job.created_at < timezone.now() - PROMPT_LATE
        return is_lost and _give_up(job, "prompt_lost")
    if not requeue_job(request_id=job.pk, enqueued_at=job.enqueued_at):
        return False
    return put_back(ticket_of(job))


def _give_up(job: Job, error_code: str) -> bool:
    logger.warning("Job %s is given up after %d attempts: %s", job.pk, job.attempts, error_code)
    is_failed = fail_job(job=job, error_code=error_code)
    finish_jobs(job.model_id, [(Held(job.pk, job.deployment_id or 0), b"")])
    return is_failed
