"""The whole product on a data folder of its own, for the scripts beside this one: started and stopped by `dev.py`."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dev import ROOT, Supervisor, environment, free_port
from tests.suite import start_postgres

__all__ = ["Product", "free_port", "measure_rss_bytes", "running_product", "start_database"]

DEV = [sys.executable, str(ROOT / "dev.py")]
EMAIL = "bench@example.com"
PLENTY = str(10**9)
STOP_S = 30


class Product:
    """A running one: where it answers, a key that no limit stops, and its processes."""

    def __init__(self, data: Path, settings: dict[str, str]) -> None:
        self.data = data
        self._env = {**os.environ, "LPU_DATA": str(data), "LPU_ENV": "development", "LPU_NULL_MODEL": "1", **settings}
        self._process: subprocess.Popen[str] | None = None
        self.url = self.key = ""

    def start(self, workers: int) -> None:
        """Returns once it answers. Raises RuntimeError with what `dev.py up` said if it does not."""
        command = [*DEV, "up", "--port", "0", "--workers", str(workers), "--data", str(self.data)]
        self._process = subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        said = []
        for line in self._process.stdout or ():
            said.append(line)
            if line.startswith("Ready: "):
                self.url = line.removeprefix("Ready: ").strip()
                break
        else:
            raise RuntimeError("".join(said))
        self.key = self.manage("create_api_key", "--email", EMAIL, "--plan", "enterprise", "--credit-usd", "100000")
        limits = [part for name in ("rpm", "rpd", "tpm", "tpd") for part in (f"--{name}", PLENTY)]
        self.manage("set_limits", "--email", EMAIL, *limits)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(STOP_S)

    def manage(self, *arguments: str, may_fail: bool = False) -> str:
        """What a management command prints. Raises CalledProcessError, unless it may fail."""
        command = [*DEV, "manage", *arguments]
        done = subprocess.run(command, env=self._env, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=not may_fail)
        return done.stdout.strip()

    def list_processes(self) -> dict[str, int]:
        """Pids of the living children of its `dev.py`, by name."""
        supervisor = self._process.pid if self._process else 0
        pids = {path.stem: int(path.read_text() or 0) for path in (self.data / "run").glob("*.pid")}
        return {name: pid for name, pid in pids.items() if _is_child(pid, supervisor)}


def _is_child(pid: int, parent: int) -> bool:
    """Whether the process lives and is the parent's; a zombie does not live."""
    try:
        _, after = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)
    except OSError:
        return False
    state, found_parent, *_ = after.split()
    return state != "Z" and int(found_parent) == parent


@contextmanager
def running_product(*, workers: int = 1, **settings: str) -> Iterator[Product]:
    """One that is gone afterwards, with its data. `settings` are environment variables."""
    with tempfile.TemporaryDirectory(prefix="lpu-bench-") as folder:
        product = Product(Path(folder) / "data", settings)
        try:
            product.start(workers)
            yield product
        finally:
            product.stop()


def start_database(stack: ExitStack, folder: Path) -> dict[str, str]:
    """The setting of a PostgreSQL from a wheel, which forgets on a crash of the machine, as that of the tests does; or
    of the one that LPU_TEST_POSTGRES_URL names."""
    supervisor = Supervisor()
    stack.callback(supervisor.stop)
    folder.chmod(0o711)
    env = environment(folder / "postgres-data")
    url = os.environ.get("LPU_TEST_POSTGRES_URL") or start_postgres(supervisor, folder / "postgres", env)
    if not url:
        raise SystemExit("No wheel brings PostgreSQL to this platform; set LPU_TEST_POSTGRES_URL.")
    return {"DATABASE_URL": url}


def measure_rss_bytes(pid: int) -> int:
    """Resident memory of a process; 0 if it is gone. From /proc, thus Linux alone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
