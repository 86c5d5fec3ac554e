"""Where checks wait: a queue for each worker, so that one can be sent to another worker than the job's own.

Workers take them one at a time, and nothing that is older than a few seconds.
"""

import random
import time
from functools import lru_cache
from typing import Any

from celery import current_app
from celery.signals import celeryd_after_setup
from django.conf import settings

from inference import worker
from inference.models import Check
from inference.redis_clients import get_redis

CHECK_JOB = "inference.check_job"
REPLAY_JOB = "inference.replay_job"
PREFIX = "checks."
LAPSE_S = 3_600

_here = ""  # this process's name as a worker


def check_queue(name: str) -> str:
    return f"{PREFIX}{name}"


@celeryd_after_setup.connect
def consume_checks(sender: str, instance: Any, **kwargs: Any) -> None:
    """Adds this worker's own queue of checks to what it consumes."""
    global _here
    _here = sender
    instance.app.amqp.queues.select_add(check_queue(sender))


def get_worker_name() -> str:
    """This process's name as a worker; empty in any other process."""
    return _here


def choose_worker(model: str) -> str:
    """A worker that is alive and serves the model: another than this one if there is one, and empty for none."""
    alive = _list_alive(model, int(time.monotonic()))
    others = [name for name in alive if name != _here]
    return random.choice(others or alive or [""])


def send_live_check(*, request_id: str, name: str) -> None:
    """Asks a worker to compute a job that has just begun here; it is forgotten if that does not happen soon."""
    arguments = {"request_id": request_id, "original_worker": _here}
    expires_s = settings.LIVE_CHECK_START_S
    current_app.send_task(CHECK_JOB, kwargs=arguments, queue=check_queue(name), expires=expires_s)
    _let_lapse(name)


def send_replay(*, check: Check, name: str) -> None:
    """Asks a worker to replay a kept job, and to store the verdict in the check."""
    current_app.send_task(REPLAY_JOB, kwargs={"check_id": check.pk}, queue=check_queue(name))
    _let_lapse(name)


def _let_lapse(name: str) -> None:
    """What was sent to a worker that never comes back does not lie in Redis for good."""
    get_redis().expire(check_queue(name), LAPSE_S)


@lru_cache(maxsize=1_000)
def _list_alive(model: str, second: int) -> list[str]:
    """Looked up once a second: it goes through all keys of Redis."""
    return worker.list_workers(serving=model)
