"""Checkpoints to deploy, and a worker that follows the deployments."""

import time
from collections.abc import Callable, Iterator

import pytest
from celery.worker import WorkController
from django.core.management import call_command

from inference import worker
from inference.models import Deployment
from inference.selectors import list_models
from tests.lpu_backend.conftest import checkpoint, tokenizer_json, write_checkpoint
from tests.serving import Path

__all__ = ["checkpoint", "tokenizer_json", "write_checkpoint"]


@pytest.fixture
def following(path: Path, celery_worker_on_threads: WorkController) -> Iterator[Path]:
    """The whole path with a worker that reads again and again what it is to serve, and has begun to serve it."""
    worker.start_following(celery_worker_on_threads.consumer)
    deadline = time.monotonic() + 20
    while Deployment.objects.filter(state=Deployment.State.SERVING).count() < len(list_models()):
        assert time.monotonic() < deadline, "The worker did not begin to serve."
        time.sleep(0.02)
    yield path
    worker.stop_threads()


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a management command and answers what it printed."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        call_command(*arguments)
        return capsys.readouterr().out

    return run
