"""Requests per second of the path around a model: sixteen tokens of the null model, not streamed, with key, limits,
hold and ledger, at 1, 8, 32 and 64 clients; then the proof that every call was billed once.

    python3 dev.py setup requirements.txt requirements-dev.txt
    .venv/bin/python benchmarks/throughput.py [--postgres] [--workers 1] [--seconds 10] [--repeats 3]

In the same run: a bare ASGI application behind uvicorn, which is what Python's HTTP alone can do here, and the proxy of
litellm before that application, where `litellm[proxy]` is installed (in .venv, or at --litellm PATH): without a
database and with one key, its fastest way. The repeats take turns, so that a change of the machine's speed meets all.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from books import read_books
from http_calls import Caller, CallError, percentile
from product import Product, free_port, running_product, start_database

MODEL = "null-16"
CLIENTS = (1, 8, 32, 64)
WARM_UP_S = 2.0
START_S = 60.0
LITELLM_KEY = "sk-bench"
LITELLM_CONFIG = """\
model_list:
  - model_name: null-16
    litellm_params: {model: openai/null-16, api_base: URL/v1, api_key: none}
general_settings: {master_key: KEY}
"""


class Target(NamedTuple):
    """Something that answers chat completions."""

    name: str
    url: str
    key: str


@dataclass
class Round:
    """What one target did at one number of clients."""

    statuses: Counter[int]
    latencies_ms: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return self.statuses[200] / self.seconds


Rounds = dict[tuple[str, int], list[Round]]
"""By name of the target and number of clients."""


async def run_round(target: Target, clients: int, seconds: float) -> Round:
    """Every client asks again as soon as it has its answer. A connection that breaks counts as status 0."""
    found = Round(Counter(), [], seconds)
    began = time.perf_counter()
    await asyncio.gather(*[_ask_again(target, found, began + seconds) for _ in range(clients)])
    found.seconds = time.perf_counter() - began
    return found


async def _ask_again(target: Target, found: Round, until_s: float) -> None:
    caller = Caller(target.url, target.key)
    messages = [{"role": "user", "content": "Hello, who are you?"}]
    while (asked_s := time.perf_counter()) < until_s:
        try:
            status = (await caller.call(model=MODEL, messages=messages, max_tokens=16)).status
        except CallError:
            status = 0
        found.statuses[status] += 1
        found.latencies_ms.append((time.perf_counter() - asked_s) * 1e3)
    caller.close()


@contextmanager
def running_server(command: list[str], port: int, env: dict[str, str], log: Path) -> Iterator[str]:
    """A server of ours on loopback, once its port answers."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, cwd=Path(__file__).parent)
        try:
            _await_port(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    caller, deadline = Caller(f"http://127.0.0.1:{port}", LITELLM_KEY), time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(CallError):
            asyncio.run(caller.call(model=MODEL, messages=[{"role": "user", "content": "Hello"}]))
            return
        time.sleep(0.2)
    raise RuntimeError(f"It did not start:\n{log.read_text()[-2_000:]}")


def start_upstream(stack: ExitStack, folder: Path) -> Target:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bare_upstream:application", "--port", str(port), "--no-access-log"]
    url = stack.enter_context(running_server(command, port, dict(os.environ), folder / "upstream.log"))
    return Target("bare uvicorn, fixed answer", url, "none")


def start_litellm(stack: ExitStack, folder: Path, program: str, upstream: Target) -> Target:
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.replace("URL", upstream.url).replace("KEY", LITELLM_KEY))
    command = [program, "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
    env = {**os.environ, "LITELLM_LOG": "ERROR"}
    return Target(
        "litellm proxy", stack.enter_context(running_server(command, port, env, folder / "litellm.log")), LITELLM_KEY
    )


def find_litellm(given: str) -> str:
    """The program, or nothing where it is not installed."""
    beside = Path(sys.executable).with_name("litellm")
    if given or not (importlib.util.find_spec("litellm") and beside.exists()):
        return given
    return str(beside)


def print_table(targets: list[Target], rounds: Rounds, clients: Sequence[int]) -> None:
    print("| requests/s, best of the repeats (p50 / p95, ms) |" + "".join(f" {count} at once |" for count in clients))
    print("|---|" + "---|" * len(clients))
    best = {key: max(each, key=lambda one: one.per_second) for key, each in rounds.items()}
    for target in targets:
        print(f"| {target.name} | " + " | ".join(_as_cell(best[target.name, count]) for count in clients) + " |")
    for target in targets[1:]:
        pairs = [(best[targets[0].name, count].per_second, best[target.name, count].per_second) for count in clients]
        ratios = [f"{ours / theirs:.2f}" if theirs else "-" for ours, theirs in pairs]
        print(f"| ours over {target.name} | {' | '.join(ratios)} |")


def _as_cell(found: Round) -> str:
    p50, p95 = percentile(found.latencies_ms, 50), percentile(found.latencies_ms, 95)
    return f"{found.per_second:,.0f} ({p50:.1f} / {p95:.1f})"


def measure(targets: list[Target], options: argparse.Namespace) -> Rounds:
    """All rounds of every target; the first ones, under 0 clients, warm up."""
    rounds: Rounds = defaultdict(list)
    for target in targets:
        rounds[target.name, 0].append(asyncio.run(run_round(target, 8, WARM_UP_S)))
    for _ in range(options.repeats):
        for count, target in itertools.product(options.clients, targets):
            rounds[target.name, count].append(asyncio.run(run_round(target, count, options.seconds)))
    return rounds


def prove_billing(product: Product, rounds: Rounds, name: str) -> int:
    """Prints the records beside the answers that the clients saw; how many of them disagree."""
    statuses = sum((each.statuses for (of, _), found in rounds.items() if of == name for each in found), Counter[int]())
    books = read_books(product)
    violations = books.list_violations()
    if statuses[200] != books.completed_jobs or books.completed_jobs != books.usage_entries:
        violations.append(f"{statuses[200]} answers, {books.completed_jobs} jobs, {books.usage_entries} ledger entries")
    print(f"\nanswers by status: {dict(statuses)}\n\n| records | |\n|---|---|\n{books}")
    print("\n".join(f"VIOLATED: {each}" for each in violations) or "\nEvery answer is one job and one ledger entry.")
    return len(violations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--litellm", default="", help="the program, if it is installed elsewhere")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lpu-bench-")))
        settings = start_database(stack, folder) if options.postgres else {}
        product = stack.enter_context(running_product(workers=options.workers, **settings))
        upstream = start_upstream(stack, folder)
        name = f"LPU Console on {'PostgreSQL' if options.postgres else 'SQLite'}, {options.workers} worker(s)"
        targets = [Target(name, product.url, product.key), upstream]
        if program := find_litellm(options.litellm):
            targets.append(start_litellm(stack, folder, program, upstream))
        rounds = measure(targets, options)
        print_table(targets, rounds, options.clients)
        if prove_billing(product, rounds, name):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
