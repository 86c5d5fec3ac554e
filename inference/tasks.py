"""Celery tasks of inference."""

from celery import shared_task

from inference import (
    check_tasks,  # noqa: F401 - registers them too
    delivery,
)
from inference.queues import WORK_OFF_QUEUE


@shared_task(name=WORK_OFF_QUEUE, ignore_result=True, acks_late=False)
def work_off_queue(model_id: str) -> None:
    """Acknowledged at once: the message carries no job, and one that is lost is made good by the workers' pulse. A late
    acknowledgement would keep Celery from reconnecting when Redis is restarted."""
    delivery.work_off_queue(model_id)
