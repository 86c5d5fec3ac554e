"""What the settings make of the environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import read_flag, read_secret_key, read_whole

ROOT = Path(__file__).resolve().parents[2]


def load_settings(data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "LPU_DATA": str(data), **variables}
    command = [sys.executable, "-c", "import config.settings as s; print(s.ENVIRONMENT, s.DEBUG, s.SERVES_NULL_MODEL)"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_production_is_what_runs_when_nothing_is_said_and_it_wants_a_secret(tmp_path: Path) -> None:
    outcome = load_settings(tmp_path)
    assert outcome.returncode != 0
    assert "LPU_SECRET_KEY is not set" in outcome.stderr


def test_production_refuses_the_measuring_model(tmp_path: Path) -> None:
    outcome = load_settings(tmp_path, LPU_ENV="production", LPU_SECRET_KEY="x" * 50, LPU_NULL_MODEL="1")
    assert outcome.returncode != 0
    assert "LPU_NULL_MODEL=1" in outcome.stderr


def test_production_never_debugs(tmp_path: Path) -> None:
    outcome = load_settings(tmp_path, LPU_ENV="production", LPU_SECRET_KEY="x" * 50, LPU_DEBUG="1")
    assert outcome.stdout.split() == ["production", "False", "False"]


def test_development_makes_a_secret_once_and_keeps_it_to_itself(tmp_path: Path) -> None:
    secret = read_secret_key("development", tmp_path)
    assert read_secret_key("development", tmp_path) == secret
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPU_X", "maybe")
    with pytest.raises(Exception, match="LPU_X is 'maybe'; it takes 1 or 0"):
        read_flag("LPU_X")
    with pytest.raises(Exception, match="LPU_X is 'maybe'; it takes a whole number"):
        read_whole("LPU_X", 1)
