"""`dev.py up` starts, watches and stops its children, whatever ends them or itself."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dev.processes import Up, is_alive, wait_until

StartUp = Callable[..., Up]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and relies on the parent-death signal")


def test_it_prints_the_address_last_and_leaves_a_pid_file_for_each_process(start_up: StartUp) -> None:
    up = start_up("--port", "0", "--workers", "2")
    address = up.wait_for_ready()
    pids = up.pids()
    assert set(pids) == {"supervisor", "redis", "web", "worker-1", "worker-2"}
    assert pids["supervisor"] == up.process.pid
    assert all(is_alive(pid) for pid in pids.values())
    assert address.startswith("http://127.0.0.1:")
    assert up.end() == (0, "")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_with_status_0(start_up: StartUp, signal_number: int) -> None:
    up = start_up()
    up.wait_for_ready()
    pids = up.pids()
    status, _ = up.end(signal_number)
    assert status == 0
    assert [name for name, pid in pids.items() if is_alive(pid)] == []
    assert up.pids() == {}
    assert not (up.run / "redis.url").exists()


def test_a_child_that_ignores_the_request_to_stop_is_killed(start_up: StartUp) -> None:
    up = start_up(worker="stubborn")
    up.wait_for_ready()
    worker = up.pid("worker-1")
    up.end()
    assert not is_alive(worker)


def test_a_killed_supervisor_leaves_no_process(start_up: StartUp) -> None:
    up = start_up(worker="stubborn")
    up.wait_for_ready()
    pids = up.pids()
    up.end(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), "the children's end")


@pytest.mark.parametrize("name", ["web", "worker-1"])
def test_a_child_that_died_is_started_again(start_up: StartUp, name: str) -> None:
    up = start_up()
    up.wait_for_ready()
    first = up.pid(name)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: up.pid(name) != first and is_alive(up.pid(name)), "another process")
    wait_until(lambda: f"{name} started again" in (up.log / "supervisor.log").read_text(), "a line in the log")
    assert up.end() == (0, "")


def test_a_redis_that_died_comes_back_with_its_address_and_data(start_up: StartUp) -> None:
    redis = pytest.importorskip("redis")
    up = start_up()
    up.wait_for_ready()
    url, first = (up.run / "redis.url").read_text(), up.pid("redis")
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: up.pid("redis") != first, "another Redis")
    wait_until(lambda: _answers(url), "an answer")
    with redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_a_child_that_fails_at_the_start_ends_it_with_the_end_of_its_log(start_up: StartUp) -> None:
    up = start_up(worker="failing")
    status, output = up.end_by_itself()
    assert status == 1
    assert "Ready" not in output
    assert "the model file is missing" in up.errors.read_text()
    assert up.pids() == {}


def test_a_second_start_on_the_same_data_names_the_first(start_up: StartUp) -> None:
    first = start_up()
    first.wait_for_ready()
    second = start_up()
    status, _ = second.end_by_itself()
    assert status == 1
    assert f"pid {first.process.pid}" in second.errors.read_text()
    assert is_alive(first.pid("web"))


def test_it_starts_over_what_a_killed_one_left_behind(start_up: StartUp, tmp_path: Path) -> None:
    run = tmp_path / "data" / "run"
    run.mkdir(parents=True)
    (run / "supervisor.pid").write_text("1\n")
    (run / "supervisor.lock").touch()
    (run / "worker-7.pid").write_text("1\n")
    up = start_up()
    up.wait_for_ready()
    assert up.pid("supervisor") == up.process.pid
    assert not (run / "worker-7.pid").exists()


def test_a_port_in_use_is_told_before_anything_starts(start_up: StartUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        up = start_up("--port", str(port))
        status, output = up.end_by_itself()
    assert status == 1
    assert output == ""
    assert f"Port {port} cannot be used" in up.errors.read_text()


def test_redis_asks_for_a_password_that_no_command_line_shows(start_up: StartUp) -> None:
    redis = pytest.importorskip("redis")
    up = start_up()
    up.wait_for_ready()
    url_file = up.run / "redis.url"
    password, port = url_file.read_text().split(":")[2].split("@")[0], int(url_file.read_text().split(":")[-1][:-2])
    assert url_file.stat().st_mode & 0o777 == 0o600
    assert password not in Path(f"/proc/{up.pid('redis')}/cmdline").read_text()
    with redis.Redis(port=port) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def _answers(url: str) -> bool:
    import redis

    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.exceptions.RedisError:
            return False
