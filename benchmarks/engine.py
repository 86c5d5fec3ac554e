"""Tokens a second of the engine with several streams, beside one answer after the other by `generate`, in one run.

    OMP_NUM_THREADS=1 python benchmarks/engine.py [MODEL] [--streams 1 8 32] [--tokens 64] [--repeats 3]

No HTTP, no queue: the batch alone. Each stream has a prompt of its own; the best of the repeats of each. Beside the
rates stand the time to the first token of the slowest stream, and the longest time between two steps of the batch.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lpu_backend import ChatModel, SamplingParams, load_model

MODEL = Path(__file__).resolve().parents[1] / "models" / "lpu-demo"


class Rate(NamedTuple):
    """Of one run; the largest is the best."""

    tokens_per_second: float
    slowest_first_token_ms: float
    longest_step_ms: float


def make_prompt(model: ChatModel, stream: int) -> list[int]:
    question = f"Stream {stream}: explain in a few sentences what an inference cloud is, and how it bills tokens."
    return model.tokenizer.encode_chat([{"role": "user", "content": question}])


def make_params(stream: int, tokens: int) -> SamplingParams:
    return SamplingParams(tokens, temperature=0.8, seed=stream)


def measure_generate(model: ChatModel, tokens: int) -> Rate:
    prompt_ids, ends_s = make_prompt(model, 0), list[float]()
    began_s = time.perf_counter()
    for _ in model.generate(prompt_ids, make_params(0, tokens)):
        ends_s.append(time.perf_counter())
    return _rate(began_s, ends_s, ends_s[0], len(ends_s))


def measure_engine(model: ChatModel, streams: int, tokens: int) -> Rate:
    engine = model.make_engine(streams)
    prompts = [make_prompt(model, stream) for stream in range(streams)]
    began_s, ends_s, made_tokens, first_s = time.perf_counter(), list[float](), 0, 0.0
    for stream, prompt_ids in enumerate(prompts):
        engine.submit(prompt_ids, make_params(stream, tokens))
    while not engine.is_idle:
        steps = [step for each in engine.tick() for step in each.steps]
        ends_s.append(time.perf_counter())
        made_tokens += len(steps)
        if any(step.index == 0 for step in steps):
            first_s = ends_s[-1]
    return _rate(began_s, ends_s, first_s, made_tokens)


def _rate(began_s: float, ends_s: Sequence[float], first_s: float, tokens: int) -> Rate:
    longest_s = max(end - begin for begin, end in zip([began_s, *ends_s], ends_s, strict=False))
    return Rate(tokens / (ends_s[-1] - began_s), (first_s - began_s) * 1e3, longest_s * 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    model = load_model(options.model)
    measure_generate(model, options.tokens)
    alone = max(measure_generate(model, options.tokens) for _ in range(options.repeats))
    print(f"{'':>12} {'tokens/s':>9} {'ratio':>6} {'slowest first token':>20} {'longest step':>13}")
    print(f"{'generate':>12} {alone.tokens_per_second:9,.0f} {1:6.2f} {alone.slowest_first_token_ms:17,.1f} ms")
    for streams in options.streams:
        best = max(measure_engine(model, streams, options.tokens) for _ in range(options.repeats))
        ratio = best.tokens_per_second / alone.tokens_per_second
        print(
            f"{f'{streams} streams':>12} {best.tokens_per_second:9,.0f} {ratio:6.2f} "
            f"{best.slowest_first_token_ms:17,.1f} ms {best.longest_step_ms:10,.1f} ms"
        )


if __name__ == "__main__":
    main()
