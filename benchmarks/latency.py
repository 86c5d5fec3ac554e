"""Time to first token and per token, from the client's side of a product that the script starts for itself.

    python3 dev.py setup requirements.txt && .venv/bin/python benchmarks/latency.py [--seconds 15] [--workers 1]

Streams the demonstration model at 1, 8, 32 and 64 streams at once, each client asking again as soon as its answer has
ended, and then the null model at one: its sixteen tokens cost nothing, so that what is left is the path itself: HTTP,
limits, hold, queue, Celery, Redis and server-sent events. Every call has another prompt, so that no prefix is cached
beyond the chat template. Times depend on the machine; the goals were set for two cores.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from http_calls import Answer, Caller, percentile
from product import Product, running_product

DEMO, NULL = "lpu-demo", "null-16"
STREAMS = (1, 8, 32, 64)
COMPLETION_TOKENS = 64
WARM_UP_CALLS = 3
GOALS_MS = {(DEMO, 1): "p95 < 25", (DEMO, 32): "p95 < 300", (NULL, 1): "p50 < 10"}
HEAD = """\
| model | streams | first token, ms (p50 / p95) | per token | whole answer, ms | tokens/s | failed | goal: first token |
|---|---|---|---|---|---|---|---|"""
PROMPTS = ("What is an LPU?", "Tell me a short story about a fox.", "How do I create a key?", "Name three colours.")


@dataclass
class Times:
    """Milliseconds of many calls: until the first token, of every later one in the mean of its answer (tokens may share
    a packet), and until the end of the answer, which comes after settlement."""

    first_ms: list[float] = field(default_factory=list)
    per_token_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    tokens: int = 0
    failed: int = 0

    def add(self, answer: Answer) -> None:
        events = answer.list_events() if answer.status == 200 else ()
        arrivals = [at_s for at_s, event in events if has_text(event)]
        if answer.status != 200 or not arrivals:
            self.failed += 1
            return
        self.first_ms.append((arrivals[0] - answer.asked_s) * 1e3)
        if len(arrivals) > 1:
            self.per_token_ms.append((arrivals[-1] - arrivals[0]) * 1e3 / (len(arrivals) - 1))
        self.whole_ms.append((answer.pieces[-1][0] - answer.asked_s) * 1e3)
        self.tokens += len(arrivals)


def has_text(event: dict[str, Any]) -> bool:
    return any(choice["delta"].get("content") for choice in event.get("choices", ()))


async def stream(caller: Caller, model: str, number: int) -> Answer:
    message = {"role": "user", "content": f"{PROMPTS[number % len(PROMPTS)]} ({number})"}
    fields = {"temperature": 0, "max_completion_tokens": COMPLETION_TOKENS}
    return await caller.call(model=model, messages=[message], stream=True, **fields)


async def measure(product: Product, model: str, streams: int, seconds: float) -> tuple[Times, float]:
    """The times, and tokens per second of all streams together."""
    numbers = itertools.count(streams * 100_000)
    times = Times()
    began = time.perf_counter()
    await asyncio.gather(*[_ask_again(product, model, numbers, times, began + seconds) for _ in range(streams)])
    return times, times.tokens / (time.perf_counter() - began)


async def _ask_again(product: Product, model: str, numbers: Iterator[int], times: Times, until_s: float) -> None:
    caller = Caller(product.url, product.key)
    while time.perf_counter() < until_s:
        times.add(await stream(caller, model, next(numbers)))
    caller.close()


async def warm_up(product: Product) -> None:
    caller = Caller(product.url, product.key)
    for model, number in itertools.product((DEMO, NULL), range(WARM_UP_CALLS)):
        await stream(caller, model, number)
    caller.close()


def format_row(model: str, streams: int, times: Times, tokens_per_second: float) -> str:
    pairs = [(percentile(of, 50), percentile(of, 95)) for of in (times.first_ms, times.per_token_ms, times.whole_ms)]
    cells = [f"{p50:,.1f} / {p95:,.1f}" for p50, p95 in pairs]
    goal = GOALS_MS.get((model, streams), "")
    return f"| {model} | {streams} | {' | '.join(cells)} | {tokens_per_second:,.0f} | {times.failed} | {goal} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each row")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS)
    options = parser.parse_args()
    print(HEAD)
    with running_product(workers=options.workers) as product:
        asyncio.run(warm_up(product))
        for model, streams in [*((DEMO, streams) for streams in options.streams), (NULL, 1)]:
            times, tokens_per_second = asyncio.run(measure(product, model, streams, options.seconds))
            print(format_row(model, streams, times, tokens_per_second), flush=True)


if __name__ == "__main__":
    main()
