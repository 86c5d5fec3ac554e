"""Kills processes of the product at random under load, and proves that nobody was lied to and nobody paid twice.

    python3 dev.py setup requirements.txt requirements-dev.txt
    .venv/bin/python benchmarks/chaos.py [--minutes 10] [--calm-minutes 3] [--postgres] [--seed 1]

The script starts the product on a data folder of its own, with two workers, asks every question once undisturbed, and
then asks them again and again, streamed and not, while it kills workers, the web process, beat and Redis by SIGKILL;
`dev.py` starts again what died, as an operator's supervisor would. Then, or it exits with 1:

- every answer is complete and, to the byte, that of the undisturbed run, or a clear error; what was streamed before an
  error is the beginning of that text; connections break only when the web process was killed;
- what jobs used is what the ledger says, each job once; nothing is held, no job is left active; no check differs;
- memory is flat: under the same load without kills, each process in the last third is where it was in the first.
"""

import argparse
import asyncio
import itertools
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from books import read_books
from http_calls import Answer, Caller, CallError
from product import Product, measure_rss_bytes, running_product, start_database

WORKERS = 2
CHECK_SHARE = "0.1"  # more than usual, so that a few minutes hold enough checks
CALL_S = 120.0  # a call that takes longer hangs
DOWN_S = 20.0  # so long after its death may the web process be away
KILL_EVERY_S = 8.0
VICTIMS = {"worker-1": 3, "worker-2": 3, "web": 2, "redis": 2, "beat": 1}
PAUSE_S, SHOWN_PAUSES = 1.0, 8
SAMPLE_S = 2.0
SETTLING_SHARE = 0.25  # of the calm minutes: caches and pools fill up
MAX_GROWTH_SHARE, MAX_GROWTH_BYTES = 0.10, 16 * 2**20
PROMPTS = (
    "What is an LPU?",
    "Tell me a short story about a fox.",
    "How do I create a key?",
    "Name three colours.",
)


class Question(NamedTuple):
    """One call, whose answer is the same every time."""

    model: str
    prompt: str
    seed: int
    temperature: float
    max_completion_tokens: int
    n: int = 1

    def fields(self) -> dict[str, object]:
        rest = {name: value for name, value in self._asdict().items() if name != "prompt"}
        return {**rest, "messages": [{"role": "user", "content": self.prompt}]}


class Reply(NamedTuple):
    """What a client has at the end of a call: text and finish reason of each choice, or the code of an error."""

    texts: tuple[str, ...]
    finish_reasons: tuple[str, ...] = ()
    error: str = ""


@dataclass
class Evidence:
    """What the clients saw. `violations` are sentences; kills are (time, name), in seconds of `time.perf_counter()`."""

    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    kills: list[tuple[float, str]] = field(default_factory=list)
    pauses: list[tuple[float, str]] = field(default_factory=list)

    def note_pauses(self, answer: Answer) -> None:
        """Of a stream that goes on: the seconds, and what was killed meanwhile or just before."""
        for (earlier_s, _), (later_s, _) in itertools.pairwise(answer.pieces):
            if later_s - earlier_s >= PAUSE_S:
                killed = [name for at_s, name in self.kills if earlier_s - PAUSE_S <= at_s <= later_s]
                self.pauses.append((later_s - earlier_s, ", ".join(killed) or "nothing"))

    def had_no_web(self, from_s: float, to_s: float) -> bool:
        """Whether the web process was killed, or not yet back, at some time between the two."""
        return any(name == "web" and at_s <= to_s and from_s <= at_s + DOWN_S for at_s, name in self.kills)


def list_questions() -> list[Question]:
    seeds = range(1, 4)
    demo = [
        Question("lpu-demo", prompt, seed, temperature, 20 + 40 * seed)
        for prompt in PROMPTS
        for seed in seeds
        for temperature in (0.0, 1.0)
    ]
    several = [Question("lpu-demo", prompt, 1, 1.0, 60, n=3) for prompt in PROMPTS]
    return demo + several + [Question("null-16", prompt, 1, 0.0, tokens) for prompt in PROMPTS for tokens in (7, 16)]


def read_reply(answer: Answer, *, is_stream: bool) -> Reply:
    """Raises ValueError or KeyError where the answer is none that the API may give."""
    if answer.status != 200:
        error = answer.json()["error"]
        return Reply((), error=f"{answer.status} {error['code'] or error['type']}" if error["message"] else "")
    if is_stream:
        return _read_stream(answer)
    choices = sorted(answer.json()["choices"], key=lambda choice: int(choice["index"]))
    return Reply(
        tuple(choice["message"]["content"] for choice in choices), tuple(choice["finish_reason"] for choice in choices)
    )


def _read_stream(answer: Answer) -> Reply:
    texts: defaultdict[int, str] = defaultdict(str)
    finish_reasons: dict[int, str] = {}
    error = ""
    for _, event in answer.list_events():
        if "error" in event or "error" in event.get("x_groq", {}):
            error = "error in the stream"
        for choice in event.get("choices", ()):
            index = choice["index"]
            texts[index] += choice["delta"].get("content") or ""
            if choice["finish_reason"]:
                finish_reasons[index] = choice["finish_reason"]
    if not error and not answer.body.endswith(b"data: [DONE]\n\n"):
        raise ValueError("the stream stopped without [DONE]")
    return Reply(
        tuple(texts[index] for index in sorted(texts)),
        tuple(finish_reasons[index] for index in sorted(finish_reasons)),
        error,
    )


def judge(question: Question, reply: Reply, expected: Reply) -> str:
    """What is wrong with it; nothing for the expected answer or a clear error."""
    if reply.error:
        pairs = zip(expected.texts, reply.texts, strict=False)
        is_beginning = all(whole.startswith(beginning) for whole, beginning in pairs)
        return "" if is_beginning else f"other text before the error: {question}"
    if reply != expected:
        return f"another answer: {question}: {reply.texts!r} instead of {expected.texts!r}"
    return ""


async def ask(caller: Caller, question: Question, *, is_stream: bool) -> Answer:
    async with asyncio.timeout(CALL_S):
        return await caller.call(stream=is_stream, **question.fields())


async def learn(product: Product) -> dict[Question, Reply]:
    """The undisturbed answers, streamed and not: both must be the same."""
    caller, expected = Caller(product.url, product.key), {}
    for question in list_questions():
        replies = {
            read_reply(await ask(caller, question, is_stream=is_stream), is_stream=is_stream)
            for is_stream in (True, False)
        }
        if len(replies) != 1 or any(reply.error for reply in replies):
            raise SystemExit(f"The undisturbed answers to {question} are not one: {replies}")
        expected[question] = replies.pop()
    caller.close()
    return expected


class Client:
    """Asks until it is told to stop, and writes down what came."""

    def __init__(self, product: Product, expected: dict[Question, Reply], evidence: Evidence, seed: int) -> None:
        self._product, self._expected, self._evidence = product, expected, evidence
        self._random = random.Random(seed)

    async def run(self, until_s: float) -> None:
        caller = Caller(self._product.url, self._product.key)
        while time.perf_counter() < until_s:
            question = self._random.choice(list(self._expected))
            outcome = await self._ask(caller, question, is_stream=self._random.random() < 0.5)
            self._evidence.outcomes[outcome] += 1
            if outcome != "answered":
                caller.close()
                await asyncio.sleep(0.2)
        caller.close()

    async def _ask(self, caller: Caller, question: Question, *, is_stream: bool) -> str:
        asked_s = time.perf_counter()
        try:
            answer = await ask(caller, question, is_stream=is_stream)
            reply = read_reply(answer, is_stream=is_stream)
        except TimeoutError:
            return self._violate(f"no end after {CALL_S:.0f} s: {question}")
        except CallError as error:
            if self._evidence.had_no_web(asked_s, time.perf_counter()):
                return "connection broke as the web process died"
            return self._violate(f"the connection broke, though the web process lived: {error} {question}")
        except (ValueError, KeyError, TypeError) as error:
            return self._violate(f"no answer that the API may give: {type(error).__name__} {error} {question}")
        if wrong := judge(question, reply, self._expected[question]):
            return self._violate(wrong)
        self._evidence.note_pauses(answer)
        return f"clear error: {reply.error}" if reply.error else "answered"

    def _violate(self, violation: str) -> str:
        self._evidence.violations.append(violation)
        return "VIOLATION"


async def kill_at_random(product: Product, evidence: Evidence, until_s: float, seed: int) -> None:
    """One process after the other, by its pid, after a random pause each."""
    chance = random.Random(seed)
    while True:
        await asyncio.sleep(chance.uniform(0.3, 2.0 * KILL_EVERY_S - 0.3))
        if time.perf_counter() > until_s - 2.0:
            return
        alive = {name: pid for name, pid in product.list_processes().items() if name in VICTIMS}
        if not alive:
            continue
        [name] = chance.choices(list(alive), [VICTIMS[name] for name in alive])
        evidence.kills.append((time.perf_counter(), name))
        os.kill(alive[name], signal.SIGKILL)


Samples = dict[str, list[tuple[float, int]]]
"""By process: resident bytes, and the share of the calm minutes that had passed."""


async def watch_memory(product: Product, samples: Samples, until_s: float) -> None:
    began = time.perf_counter()
    while (now := time.perf_counter()) < until_s:
        for name, pid in product.list_processes().items():
            samples[name].append(((now - began) / (until_s - began), measure_rss_bytes(pid)))
        await asyncio.sleep(SAMPLE_S)


def compare_memory(samples: Samples) -> Iterable[tuple[str, float, float, bool]]:
    """Name, median bytes in the first and in the last third after settling, and whether they are too far apart."""
    for name, found in sorted(samples.items()):
        settled = [(share - SETTLING_SHARE) / (1 - SETTLING_SHARE) for share, _ in found]
        rows = list(zip(settled, [size for _, size in found], strict=True))
        first = [size for share, size in rows if 0 <= share < 1 / 3]
        last = [size for share, size in rows if share >= 2 / 3]
        if first and last:
            before, after = statistics.median(first), statistics.median(last)
            yield name, before, after, after - before > max(MAX_GROWTH_SHARE * before, MAX_GROWTH_BYTES)


async def load(
    product: Product, expected: dict[Question, Reply], evidence: Evidence, options: argparse.Namespace, *, is_calm: bool
) -> Samples:
    """The clients, beside the killer unless it is calm; the memory of every process meanwhile."""
    minutes = options.calm_minutes if is_calm else options.minutes
    until_s = time.perf_counter() + minutes * 60
    samples: Samples = defaultdict(list)
    clients = [Client(product, expected, evidence, options.seed * 1_000 + number) for number in range(options.clients)]
    tasks = [watch_memory(product, samples, until_s), *(client.run(until_s) for client in clients)]
    if not is_calm:
        tasks.append(kill_at_random(product, evidence, until_s, options.seed))
    await asyncio.gather(*tasks)
    return samples


def print_table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """In markdown."""
    names = list(head)
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        print(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in row)} |")


def run(product: Product, options: argparse.Namespace) -> list[str]:
    """Prints the evidence; the violations."""
    expected, evidence = asyncio.run(learn(product)), Evidence()
    asyncio.run(load(product, expected, evidence, options, is_calm=False))
    samples = asyncio.run(load(product, expected, evidence, options, is_calm=True))
    books, memory = read_books(product), list(compare_memory(samples))
    print_table(("seen by the clients", "calls"), evidence.outcomes.most_common())
    print_table(("killed by SIGKILL", "times"), Counter(name for _, name in evidence.kills).most_common())
    pauses = [(f"{pause_s:.1f}", killed) for pause_s, killed in sorted(evidence.pauses, reverse=True)[:SHOWN_PAUSES]]
    print_table((f"longest of {len(evidence.pauses)} pauses in streams, s", "killed meanwhile"), pauses)
    print_table(("records", ""), asdict(books).items())
    sizes = [(name, f"{before / 2**20:.1f}", f"{after / 2**20:.1f}") for name, before, after, _ in memory]
    print_table(("resident memory without kills, MiB", "first third", "last third"), sizes)
    grown = [f"{name} grew from {before:,.0f} to {after:,.0f} bytes" for name, before, after, is_so in memory if is_so]
    return [*evidence.violations, *books.list_violations(), *grown]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load with kills")
    parser.add_argument("--calm-minutes", type=float, default=3.0, help="of the same load without, for the memory")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--seed", type=int, default=1, help="of what is asked and killed when")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lpu-chaos-")))
        settings = start_database(stack, folder) if options.postgres else {}
        product = stack.enter_context(running_product(workers=WORKERS, LPU_LIVE_CHECK_SHARE=CHECK_SHARE, **settings))
        violations = run(product, options)
    print("\n" + ("\n".join(f"VIOLATED: {each}" for each in violations) or "Nothing was violated."))
    raise SystemExit(1 if violations else 0)


if __name__ == "__main__":
    main()
