"""Celery tasks of inference."""

from celery import shared_task

from inference import (
    check_tasks,  # noqa: F401 - registers them too
    delivery,
)
from inference.queues import WORK_OFF_QUEUE


@shared_task(name=WORK_OFF_QUEUE, ignore_result=True)
def work_off_queue(model_id: str) -> None:
    delivery.work_off_queue(model_id)
