"""The way into Celery: one queue per model."""

from celery import current_app

from inference.redis_clients import get_redis

DELIVER_JOB = "inference.deliver_job"


def queue_of(model: str) -> str:
    return f"model.{model}"


def enqueue_job(*, request_id: str, model: str) -> None:
    """Hands the job to its model's queue; raises kombu's OperationalError when the broker does not answer."""
    current_app.send_task(DELIVER_JOB, args=(request_id,), queue=queue_of(model))


def is_queue_empty(model: str) -> bool:
    """Whether no message waits for the model's workers. Kombu keeps a queue as a Redis list of the queue's name."""
    return get_redis().llen(queue_of(model)) == 0
