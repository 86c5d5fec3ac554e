"""`.venv` is made once, made anew when an install was cut off, and never by two at once."""

import subprocess
import sys
from pathlib import Path

import pytest

import dev


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The installation steps taken in a temporary repository, in order: `venv` and `pip`."""
    (tmp_path / "requirements.txt").write_text("django==5.2.19\n")
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(dev, "PYTHON", str(tmp_path / ".venv/bin/python"))
    taken: list[str] = []

    def run_shown(command: list[str], advice: str) -> None:
        taken.append(command[2])
        if command[2] == "venv":
            Path(dev.PYTHON).parent.mkdir(parents=True, exist_ok=True)
            Path(dev.PYTHON).touch(0o755)

    monkeypatch.setattr(dev, "run_shown", run_shown)
    return taken


def test_a_second_start_installs_nothing(steps: list[str]) -> None:
    dev.ensure_venv("requirements.txt")
    dev.ensure_venv("requirements.txt")
    assert steps == ["venv", "pip"]


def test_changed_requirements_are_installed_into_the_same_environment(steps: list[str], tmp_path: Path) -> None:
    dev.ensure_venv("requirements.txt")
    (tmp_path / "requirements.txt").write_text("django==5.2.20\n")
    dev.ensure_venv("requirements.txt")
    assert steps == ["venv", "pip", "pip"]


def test_an_install_that_was_cut_off_is_made_anew(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dev.ensure_venv("requirements.txt")
    (tmp_path / "requirements.txt").write_text("django==5.2.20\n")
    installs = dev.run_shown
    monkeypatch.setattr(dev, "run_shown", _cut_off)
    with pytest.raises(KeyboardInterrupt):
        dev.ensure_venv("requirements.txt")
    monkeypatch.setattr(dev, "run_shown", installs)
    dev.ensure_venv("requirements.txt")
    assert steps == ["venv", "pip", "venv", "pip"]


def test_an_unsupported_python_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or 3\.12; this is 3\.13"):
        dev.require_supported_python()


def test_a_supported_python_on_path_takes_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "python{}.{}".format(*sys.version_info)
    (tmp_path / name).symlink_to(sys.executable)
    program = f"import sys, dev; sys.version_info = (3, 13, 0); sys.argv = ['-c', 'print(7)']; {_CALL}"
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=dev.ROOT)
    assert done.stdout == "7\n"


_CALL = "dev.require_supported_python()"


def _cut_off(command: list[str], advice: str) -> None:
    raise KeyboardInterrupt
