"""Celery tasks of inference."""

from celery import shared_task

from inference import (
    check_tasks,  # noqa: F401 - registers them too
    delivery,
)
from inference.queues import DELIVER_JOB


@shared_task(name=DELIVER_JOB, ignore_result=True)
def deliver_job(request_id: str) -> None:
    delivery.deliver_job(request_id)
