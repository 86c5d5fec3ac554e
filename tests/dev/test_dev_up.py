"""The real `dev.py up`, with every process of the product."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dev
from tests.dev.processes import Up, is_alive, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and relies on the parent-death signal"),
]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path / "data", program=("dev.py",))
    yield running
    running.end(signal.SIGTERM)


def test_it_serves_heals_and_stops_without_a_trace(up: Up) -> None:
    address = up.wait_for_ready()
    port = int(address.rpartition(":")[2])
    assert dev.is_ready(port)
    pids = up.pids()
    assert set(pids) == {"supervisor", "redis", "web", "worker-1", "beat"}
    os.kill(pids["web"], signal.SIGKILL)
    wait_until(lambda: up.pid("web") != pids["web"] and dev.is_ready(port), "the web server's return")
    pids |= up.pids()
    assert up.end() == (0, "")
    assert [name for name, pid in pids.items() if is_alive(pid)] == []


def test_a_killed_supervisor_leaves_no_process_and_the_data_can_be_used_again(up: Up, tmp_path: Path) -> None:
    up.wait_for_ready()
    pids = up.pids()
    up.end(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), "the children's end")
    again = Up(tmp_path / "data", program=("dev.py",))
    again.wait_for_ready()
    assert again.end() == (0, "")
