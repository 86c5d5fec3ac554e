"""The way into Celery: one queue per model for wake-ups, and a call to the workers when what they serve has changed."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from inference.redis_clients import get_redis

logger = logging.getLogger(__name__)

WORK_OFF_QUEUE = "inference.work_off_queue"
SERVE_DEPLOYMENTS = "serve_deployments"
PREFIX = "model."
WAKE_UP_EXPIRES_S = 30  # workers that were away for long do not find thousands of them


def queue_of(model: str) -> str:
    return f"{PREFIX}{model}"


def wake_workers(model: str) -> None:
    """Sends a wake-up to the model's queue. One that is lost is made good by the workers' pulse within a second."""
    try:
        current_app.send_task(WORK_OFF_QUEUE, args=(model,), queue=queue_of(model), expires=WAKE_UP_EXPIRES_S)
    except (OperationalError, RedisError) as error:
        logger.warning("No wake-up was sent for %s: %s", model, type(error).__name__)


def is_queue_empty(model: str) -> bool:
    """Whether no message waits for the model's workers. Kombu keeps a queue as a Redis list of the queue's name."""
    return get_redis().llen(queue_of(model)) == 0


def call_workers() -> None:
    """Asks every worker to look at the deployments now; one that misses it does so within a second all the same."""
    try:
        current_app.control.broadcast(SERVE_DEPLOYMENTS)
    except (OperationalError, RedisError) as error:
        logger.warning("The workers were not called: %s", type(error).__name__)
