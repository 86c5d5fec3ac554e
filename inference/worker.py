"""What a Celery worker does beside its tasks: it serves the deployments, says that it is alive, keeps its leases, looks
after jobs that lost their worker, and hands over its own when it is stopped."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.signals import celeryd_after_setup, worker_ready, worker_shutdown, worker_shutting_down
from celery.worker.control import control_command
from django.conf import settings
from django.db import close_old_connections

from inference.dispatch import count_waiting, leave_service, tell_alive
from inference.engine_room import get_room
from inference.queues import PREFIX, SERVE_DEPLOYMENTS, is_queue_empty, queue_of
from inference.redis_clients import get_redis, redis_key
from inference.serving import serve_deployments
from inference.sweeping import sweep_jobs

logger = logging.getLogger(__name__)

BEAT_S = 1.0
ALIVE_MS = 5_000
# Two threads, since a model may take long to load and leases do not wait.
PULSE, SERVING, LEAVING = "pulse", "serving", "leaving"
EVERY_MODEL = b"*"
GRACE_S = 30.0  # for the jobs of the last worker; whoever stops it may be less patient, and then they wait for the next

_stopping = threading.Event()
_leaving = threading.Event()
_called = threading.Event()


def alive_key(worker: str) -> str:
    return redis_key("worker", worker)


def list_workers(*, serving: str = "") -> list[str]:
    """The workers that said within the last five seconds that they are alive; if a model is named, those for it."""
    prefix, redis = redis_key("worker", ""), get_redis()
    names = sorted({key.decode().removeprefix(prefix) for key in redis.scan_iter(f"{prefix}*", count=1000)})
    return [name for name in names if not serving or _is_for(redis.get(alive_key(name)), serving)]


def _is_for(served: object, model_id: str) -> bool:
    return isinstance(served, bytes) and (served == EVERY_MODEL or model_id.encode() in served.split(b","))


@control_command(name=SERVE_DEPLOYMENTS)
def look_at_deployments(state: Any) -> None:
    """What `call_workers` asks for. It only rings: the thread of the queues must not wait for a model."""
    _called.set()


@celeryd_after_setup.connect
def serve_models(sender: str, instance: Any, **kwargs: Any) -> None:
    """Loads what is deployed before the first job arrives, and consumes its queues."""
    for queue in serve_deployments():
        instance.app.amqp.queues.select_add(queue)


@worker_ready.connect
def start_threads(sender: Any, **kwargs: Any) -> None:
    start_pulse(sender=sender)
    start_following(sender)


def start_pulse(sender: Any) -> None:
    _stopping.clear()
    _leaving.clear()
    _start(PULSE, lambda: _beat(str(sender.hostname), sender.app))


def start_following(consumer: Any) -> None:
    _stopping.clear()
    _start(SERVING, lambda: _follow_deployments(consumer))


@worker_shutting_down.connect
def begin_to_leave(sender: str, **kwargs: Any) -> None:
    """At SIGTERM, on the thread that the signal interrupted: nothing here may take long."""
    _start(LEAVING, lambda: hand_over_jobs(sender))


def hand_over_jobs(worker: str) -> None:
    """Claims nothing more; running jobs go on at their next token in another worker, or end here if there is none."""
    room = get_room()
    room.close()
    _leaving.set()
    with _surviving(LEAVING):
        get_redis().delete(alive_key(worker))
        for model_id in room.list_models():
            leave_service(worker, model_id)
    deadline_s = time.monotonic() + GRACE_S
    while room.list_models() and time.monotonic() < deadline_s:
        with _surviving(LEAVING):
            for model_id in room.list_models():
                if list_workers(serving=model_id):
                    room.put_back_all(model_id)
        room.wait(lambda: not room.list_models(), BEAT_S)


@worker_shutdown.connect
def end_worker(**kwargs: Any) -> None:
    """When Celery's own threads have ended: leases are kept until the last job has left."""
    for thread in threading.enumerate():
        if thread.name == LEAVING:
            thread.join(timeout=GRACE_S)
    get_room().stop()
    stop_threads()


def stop_threads() -> None:
    _stopping.set()
    _called.set()
    for thread in threading.enumerate():
        if thread.name in (PULSE, SERVING):
            thread.join(timeout=BEAT_S)


def _start(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()


def _beat(worker: str, app: Any) -> None:
    while not _stopping.is_set():
        with _surviving(PULSE):
            get_room().renew()
        if not _leaving.is_set():
            with _surviving(PULSE):
                _say_alive(worker, app)
                sweep_jobs()
        _stopping.wait(BEAT_S)
    get_redis().delete(alive_key(worker))


def _say_alive(worker: str, app: Any) -> None:
    served = ",".join(settings.SERVED_MODELS).encode() or EVERY_MODEL
    get_redis().set(alive_key(worker), served, px=ALIVE_MS)
    for model_id in _consumed(app):
        tell_alive(worker, model_id)


def _consumed(app: Any) -> set[str]:
    """The models whose queues this worker consumes."""
    return {name.removeprefix(PREFIX) for name in list(app.amqp.queues.consume_from) if name.startswith(PREFIX)}


def _follow_deployments(consumer: Any) -> None:
    while not _stopping.is_set():
        _called.clear()
        with _surviving(SERVING):
            _consume(consumer, serve_deployments())
        _called.wait(BEAT_S)


def _consume(consumer: Any, wanted: set[str]) -> None:
    """Begins with what is missing, and leaves a queue that nobody is served from once it is empty."""
    control, here = consumer.app.control, [consumer.hostname]
    consumed = {queue_of(model_id) for model_id in _consumed(consumer.app)}
    for queue in wanted - consumed:
        control.add_consumer(queue, destination=here)
    for queue in consumed - wanted:
        model_id = queue.removeprefix(PREFIX)
        if is_queue_empty(model_id) and not count_waiting(model_id):
            control.cancel_consumer(queue, destination=here)


@contextmanager
def _surviving(thread: str) -> Iterator[None]:
    """Whatever Redis or the database go through, the thread goes on; its connections are looked at afterwards."""
    try:
        yield
    except Exception as error:
        logger.warning("Thread %s: %s", thread, type(error).__name__)
    finally:
        close_old_connections()
