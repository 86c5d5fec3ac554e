"""The way into Celery: one queue per model, and a call to the workers when what they serve has changed."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from inference.redis_clients import get_redis

logger = logging.getLogger(__name__)

DELIVER_JOB = "inference.deliver_job"
SERVE_DEPLOYMENTS = "serve_deployments"
PREFIX = "model."


def queue_of(model: str) -> str:
    return f"{PREFIX}{model}"


def enqueue_job(*, request_id: str, model: str) -> None:
    """Hands the job to its model's queue; raises kombu's OperationalError when the broker does not answer."""
    current_app.send_task(DELIVER_JOB, args=(request_id,), queue=queue_of(model))


def is_queue_empty(model: str) -> bool:
    """Whether no message waits for the model's workers. Kombu keeps a queue as a Redis list of the queue's name."""
    return get_redis().llen(queue_of(model)) == 0


def call_workers() -> None:
    """Asks every worker to look at the deployments now; one that misses it does so within a second all the same."""
    try:
        current_app.control.broadcast(SERVE_DEPLOYMENTS)
    except (OperationalError, RedisError) as error:
        logger.warning("The workers were not called: %s", type(error).__name__)
