"""The way into Celery: one queue per model."""

from celery import current_app

DELIVER_JOB = "inference.deliver_job"


def queue_of(model: str) -> str:
    return f"model.{model}"


def enqueue_job(*, request_id: str, model: str) -> None:
    """Hands the job to its model's queue; raises kombu's OperationalError when the broker does not answer."""
    current_app.send_task(DELIVER_JOB, args=(request_id,), queue=queue_of(model))
