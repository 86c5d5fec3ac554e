"""Many calls of every kind through both SDKs, some cut off by the client, counted on the client's side.

    python3 dev.py setup requirements.txt requirements-dev.txt               # brings both SDKs
    python3 dev.py up                                                        # in one terminal
    key=$(python3 dev.py manage create_api_key --email bench@example.com --plan developer --credit-usd 5)
    .venv/bin/python benchmarks/mixed_calls.py --key "$key"                  # in another
    python3 dev.py manage reconcile_billing --json

Prints what the answers said they used. The usage API, the usage page and the ledger must agree with each other to the
picodollar; they exceed the client's own count by the calls that it cut off, whose last tokens it never saw.
"""

import argparse
import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import groq
import openai

PROMPTS = (
    "Hello! Who are you?",
    "What is an LPU?",
    "Tell me a short story about a fox.",
    "How do I create an API key?",
    "Name three colours.",
)


def call_plain(client: Any, arguments: dict[str, Any]) -> tuple[str, int]:
    answer = client.chat.completions.create(**arguments)
    return "plain", answer.usage.total_tokens


def call_stream(client: Any, arguments: dict[str, Any]) -> tuple[str, int]:
    """OpenAI's SDK asks for the usage; Groq's has it in the last chunk unasked."""
    options = {"stream_options": {"include_usage": True}} if isinstance(client, openai.OpenAI) else {}
    last: Any = None
    for chunk in client.chat.completions.create(stream=True, **options, **arguments):
        last = chunk
    usage = last.usage if options else last.x_groq.usage
    return "streamed", usage.total_tokens


def call_cut(client: Any, arguments: dict[str, Any]) -> tuple[str, int]:
    """Leaves after three chunks. What the server made until it noticed is billed, and not seen here."""
    with client.chat.completions.create(stream=True, **arguments) as stream:
        for _, _chunk in zip(range(3), stream, strict=False):
            pass
    return "cut off", 0


class Calls:
    """Runs the calls and counts what came back, under a lock: the callers are threads."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self._clients = (
            openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0),
            groq.Groq(base_url=url, api_key=key, max_retries=0),
        )
        self._model = model
        self._lock = threading.Lock()
        self.kinds: Counter[str] = Counter()
        self.total_tokens = 0

    def run(self, number: int, call: Any) -> None:
        sdk = number % len(self._clients)
        arguments = {
            "model": self._model,
            "messages": [{"role": "user", "content": PROMPTS[number % len(PROMPTS)]}],
            "temperature": (number % 3) / 2,
            "seed": number,
            "max_completion_tokens": 200 if call is call_cut else 8 + number % 40,
        }
        kind, total_tokens = call(self._clients[sdk], arguments)
        with self._lock:
            self.kinds[f"{kind}, {('openai', 'groq')[sdk]}"] += 1
            self.total_tokens += total_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", default="lpu-demo")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--cut", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()

    calls = Calls(options.url, options.key, options.model)
    kinds = [call_cut] * options.cut
    kinds += [call_plain if number % 2 else call_stream for number in range(options.calls - options.cut)]
    random.Random(1).shuffle(kinds)
    began = time.monotonic()
    with ThreadPoolExecutor(options.clients) as pool:
        list(pool.map(calls.run, range(len(kinds)), kinds))
    seconds = round(time.monotonic() - began, 2)
    print(json.dumps({"calls": dict(calls.kinds), "total_tokens_seen": calls.total_tokens, "seconds": seconds}))


if __name__ == "__main__":
    main()
