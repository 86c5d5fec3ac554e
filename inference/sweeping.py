"""Jobs whose worker died: each is sent to its queue again, or, when that cannot help, failed and its hold released."""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from inference.leases import list_leased, list_waiting
from inference.models import Job
from inference.queues import enqueue_job, is_queue_empty
from inference.redis_clients import get_redis, redis_key
from inference.services import MAX_ATTEMPTS, fail_job, requeue_job
from inference.streams import end_stream

logger = logging.getLogger(__name__)

SETTLING_IN = timedelta(seconds=2)  # a job this young may be between its row and its lease
LOST_MESSAGE = timedelta(seconds=30)  # a job queued for so long is sent again, even if others wait before it
BATCH = 500


def sweep_jobs() -> int:
    """Looks once at every active job that nobody holds; the number acted on. One process a second does so."""
    if not get_redis().set(redis_key("sweep"), b"1", nx=True, px=900):
        return 0
    now = timezone.now()
    active = Job.objects.filter(state__in=Job.ACTIVE, enqueued_at__lt=now - SETTLING_IN).order_by("enqueued_at")
    jobs = list(active.defer("payload_key")[:BATCH])
    if not jobs:
        return 0
    leased = list_leased([job.pk for job in jobs])
    waiting = list_waiting(list({job.deployment_id for job in jobs}))
    return sum(_rescue(job, is_waiting=job.pk in waiting) for job in jobs if job.pk not in leased)


def _rescue(job: Job, *, is_waiting: bool) -> bool:
    now = timezone.now()
    is_late = job.created_at < now - timedelta(seconds=settings.JOB_DEADLINE_S)
    if is_late or (job.state == Job.State.RUNNING and job.attempts - job.moves >= MAX_ATTEMPTS):
        logger.warning("Job %s is given up after %d attempts.", job.pk, job.attempts)
        is_failed = fail_job(job=job, error_code="engine_fault")
        end_stream(request_id=job.pk)
        return is_failed
    if is_waiting or not _has_lost_its_message(job) or not requeue_job(request_id=job.pk, enqueued_at=job.enqueued_at):
        return False
    enqueue_job(request_id=job.pk, model=job.model_id)
    return True


def _has_lost_its_message(job: Job) -> bool:
    """A running job without a lease lost its worker. A queued one lost its message with a worker that had just taken it
    (then its queue may be empty), or with Redis; a message too many is harmless, for the lease lets one through."""
    is_old = job.enqueued_at < timezone.now() - LOST_MESSAGE
    return job.state == Job.State.RUNNING or is_old or is_queue_empty(job.model_id)
