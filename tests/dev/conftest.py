"""An `up` on a temporary data folder that is gone when its test ends."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dev.processes import Up


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `up` with stand-in children: start_up(*arguments, worker="sleeping")."""
    started: list[Up] = []

    def start(*arguments: str, worker: str = "sleeping") -> Up:
        stand_in = str(Path(__file__).with_name("stand_in.py"))
        started.append(Up(tmp_path / "data", *arguments, program=(stand_in, worker)))
        return started[-1]

    yield start
    for up in started:
        up.end(signal.SIGTERM)
