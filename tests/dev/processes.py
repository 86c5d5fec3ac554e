"""Starts `dev.py up` as a user would and looks at what it leaves in the data folder and among the processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DEADLINE_S = 90.0  # far above what any step takes: a test that waits this long has failed
STAND_IN = Path(__file__).with_name("stand_in.py")
UNSET = ("REDIS_URL", "LPU_DATA", "LPU_ENV", "DATABASE_URL")  # the suite's own services are not for this one
REPOSITORY = Path(__file__).resolve().parents[2]


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet collected by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Up:
    """One running `up` on a data folder, with its output so far."""

    def __init__(self, data: Path, *arguments: str, program: Sequence[str] = (str(STAND_IN), "sleeping")) -> None:
        self.run, self.log = data / "run", data / "log"
        self.errors = data.with_name(f"{data.name}-errors-{time.monotonic_ns()}")
        env = {name: value for name, value in os.environ.items() if name not in UNSET}
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *program, "up", "--data", str(data), *(arguments or ("--port", "0"))],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=env, cwd=REPOSITORY,
            )  # fmt: skip

    def wait_for_ready(self) -> str:
        """Returns the address printed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Ready: "):
                return line.removeprefix("Ready: ").strip()
        raise AssertionError(f"it ended before it was ready: {self.errors.read_text()}")

    def pid(self, name: str) -> int:
        return int((self.run / f"{name}.pid").read_text())

    def pids(self) -> dict[str, int]:
        return {path.stem: int(path.read_text()) for path in self.run.glob("*.pid")}

    def end_by_itself(self) -> tuple[int, str]:
        """Waits without a signal; returns the exit status and the whole output."""
        output, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, output

    def end(self, signal_number: int = signal.SIGINT) -> tuple[int, str]:
        """Sends the signal; returns the exit status and the rest of the output."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.end_by_itself()
