"""The whole path in one process: the ASGI application behind uvicorn, and a Celery worker on threads."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from celery.contrib.testing.worker import start_worker
from celery.worker import WorkController, state
from django.db import connections
from pytest_django import Settings

import lpu_backend
from accounts.models import Organization
from accounts.types import IssuedKey
from config.asgi import application
from config.celery import app
from inference import database, delivery, worker
from inference.engine_room import get_room
from inference.models import Job, RateLimit
from inference.redis_clients import get_redis
from lpu_backend.serial_engine import SerialEngine

NULL = "null-16"
QUEUES = ["model.lpu-demo", "model.null-16", "periodic"]


@dataclass(frozen=True)
class Path:
    """Where the running application answers, and a key that it takes."""

    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def post(self, **fields: object) -> httpx.Response:
        body = {"model": NULL, "messages": [{"role": "user", "content": "Hello"}], **fields}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=self.headers, timeout=30)


@contextmanager
def running_server() -> Iterator[str]:
    config = uvicorn.Config(application, host="127.0.0.1", port=0, lifespan="off", log_level="warning", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def server_url(closed_connections: None) -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture(scope="session")
def celery_worker_on_threads() -> Iterator[WorkController]:
    """One worker for all tests: starting and stopping one takes longer than most of them."""
    with start_worker(
        app, pool="threads", concurrency=4, queues=QUEUES, perform_ping_check=False, shutdown_timeout=30
    ) as started:
        yield started


@pytest.fixture(scope="session")
def closed_connections(django_db_setup: None) -> Iterator[None]:
    """Before the test database is dropped, the database threads let go of it."""
    yield
    barrier = threading.Barrier(database.THREADS)
    for done in [database._executor.submit(_close_connection, barrier) for _ in range(database.THREADS)]:
        done.result()


def _close_connection(barrier: threading.Barrier) -> None:
    barrier.wait(timeout=10)
    connections.close_all()


@pytest.fixture
def server(transactional_db: None, server_url: str, settings: Settings) -> Iterator[str]:
    settings.SERVES_NULL_MODEL = True
    get_redis().flushdb()
    yield server_url
    wait_until_idle()


@pytest.fixture
def worker_pulse(server: str, celery_worker_on_threads: WorkController) -> Iterator[None]:
    worker.start_pulse(sender=celery_worker_on_threads)
    yield
    worker.stop_threads()


@pytest.fixture
def path(server: str, worker_pulse: None, issued_key: IssuedKey, organization: Organization) -> Path:
    """The whole path, with limits that do not get in a test's way."""
    RateLimit.objects.create(organization=organization, rpm=10**5, rpd=10**6, tpm=10**7, tpd=10**9)
    return Path(url=server, key=issued_key.secret)


def wait_until_idle(seconds: float = 20) -> None:
    """A test may leave a job running; the tables are emptied only once no task holds a lock on them."""
    get_redis().delete(*QUEUES)
    deadline = time.monotonic() + seconds
    room = get_room()
    # A task may look after a queue that is empty now; it does nothing until something waits there.
    while room.list_models() or state.reserved_requests:
        assert time.monotonic() < deadline, "A task of the last test did not end."
        time.sleep(0.01)


def wait_for_end(request_id: str, seconds: float = 20) -> Job:
    """The job's row once it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = Job.objects.get(pk=request_id)
        if not job.is_active:
            return job
        time.sleep(0.02)
    raise AssertionError(f"Job {request_id} did not end.")


class _NullVariant:
    """The null model with other manners: slow between tokens, or failing at one of them."""

    def __init__(self, *, pause_s: float = 0.0, fails_at: int | None = None) -> None:
        self._model = lpu_backend.null_model()
        self._pause_s = pause_s
        self._fails_at = fails_at
        self.program_hash = self._model.program_hash
        self.emulate = self._model.emulate

    def make_engine(self, max_batch: int) -> lpu_backend.Engine:
        return SerialEngine(self.generate, max_batch)

    def generate(self, prompt_ids: Sequence[int], params: lpu_backend.SamplingParams) -> Iterator[lpu_backend.Step]:
        for step in self._model.generate(prompt_ids, params):
            if step.index == self._fails_at:
                raise ZeroDivisionError("a fault whose words quote a prompt")
            time.sleep(self._pause_s)
            yield step


@pytest.fixture
def slow_null_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "load_model", lambda *_: _NullVariant(pause_s=0.2))


@pytest.fixture
def broken_null_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "load_model", lambda *_: _NullVariant(fails_at=0))


@pytest.fixture
def fading_null_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "load_model", lambda *_: _NullVariant(pause_s=0.02, fails_at=5))
