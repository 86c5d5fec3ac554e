"""What a Celery worker does beside its tasks: it serves the queues of the active models, loads them before it is ready,
says that it is alive, keeps its leases, and looks after jobs that lost their worker."""

import logging
import threading
from typing import Any

from celery.signals import celeryd_after_setup, worker_ready, worker_shutdown
from django.conf import settings
from django.db import close_old_connections

from inference.leases import renew_leases
from inference.queues import queue_of
from inference.redis_clients import get_redis, redis_key
from inference.registry import load_model
from inference.selectors import list_models
from inference.sweeping import sweep_jobs
from lpu_backend import LpuBackendError

logger = logging.getLogger(__name__)

BEAT_S = 1.0
ALIVE_MS = 5_000
PULSE = "pulse"

_stopping = threading.Event()


def alive_key(worker: str) -> str:
    return redis_key("worker", worker)


def list_workers() -> list[str]:
    """The workers that said within the last five seconds that they are alive."""
    prefix = redis_key("worker", "")
    return sorted(key.decode().removeprefix(prefix) for key in get_redis().scan_iter(f"{prefix}*", count=1000))


@celeryd_after_setup.connect
def serve_models(sender: str, instance: Any, **kwargs: Any) -> None:
    """Consumes the queue of every model this worker serves, and loads each before the first job arrives."""
    for model in list_models():
        if settings.SERVED_MODELS and model.pk not in settings.SERVED_MODELS:
            continue
        instance.app.amqp.queues.select_add(queue_of(model.pk))
        try:
            load_model(model.pk)
        except LpuBackendError as error:
            # Its queue is served all the same: jobs for it then fail at once, unbilled, instead of waiting.
            logger.error("Model %s cannot be served: %s", model.pk, error)


@worker_ready.connect
def start_pulse(sender: Any, **kwargs: Any) -> None:
    _stopping.clear()
    threading.Thread(target=_beat, args=(str(sender.hostname),), name=PULSE, daemon=True).start()


@worker_shutdown.connect
def stop_pulse(**kwargs: Any) -> None:
    _stopping.set()
    for thread in threading.enumerate():
        if thread.name == PULSE:
            thread.join(timeout=BEAT_S)


def _beat(worker: str) -> None:
    while not _stopping.is_set():
        try:
            get_redis().set(alive_key(worker), b"1", px=ALIVE_MS)
            renew_leases()
            sweep_jobs()
        except Exception as error:  # the pulse outlives whatever Redis or the database go through
            logger.warning("Pulse of %s: %s", worker, type(error).__name__)
        finally:
            close_old_connections()
        _stopping.wait(BEAT_S)
    get_redis().delete(alive_key(worker))
