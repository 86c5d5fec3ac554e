"""Speed of the runtime beside other runtimes, and beside this machine's memory: same weights, same run.

    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=1 python benchmarks/decode.py [--shapes S M L] [--threads 1 2] [--repeats N]

Random weights. One stream and 16, so many greedy tokens each after prompts of 16; one prompt of 1,024. The repeats take
turns, so that a change of the machine's speed meets all, and the best of each counts. A runtime that is not installed
is left out, with the reason. Rates differ between machines and hours: only ratios of one run are worth comparing.
"""

import argparse
import importlib.util
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from decode_peers import LlamaCppRuntime, OurRuntime, Runtime, TorchRuntime
from gguf_checkpoint import write_gguf
from onnx_checkpoint import write_onnx
from onnx_runtime import OnnxRuntime
from random_checkpoint import CONTEXT_TOKENS, SHAPES, write_random_checkpoint

STREAMS = 16
PREFILL_TOKENS = 1_024
DECODED_TOKENS = {"S": 128, "M": 64, "L": 24}
OURS, TORCH, ONNX = "lpu_backend", "transformers + torch, float32", "onnxruntime, float32"
LLAMA_FLOAT, LLAMA_Q8 = "llama.cpp, float32", "llama.cpp, Q8_0"
COLUMNS = ("1 stream", f"{STREAMS} streams", f"prefill of {PREFILL_TOKENS:,}")
_GIGABYTE = 10**9

Rates = dict[str, tuple[float, ...]]
"""Tokens/s by runtime, in the order of COLUMNS."""


def measure_bandwidth(threads: int) -> float:
    """Bytes/s at which so many threads read a gigabyte, each multiplying its rows of a float32 matrix by a vector."""
    matrix, vector = np.ones((_GIGABYTE // 4 // 4_096, 4_096), np.float32), np.ones(4_096, np.float32)
    parts = np.array_split(matrix, threads)
    best_s = float("inf")
    for _ in range(5):
        workers = [threading.Thread(target=np.matmul, args=(part, vector)) for part in parts]
        started_s = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best_s = min(best_s, time.perf_counter() - started_s)
    return matrix.nbytes / best_s


def prepare(folder: Path, threads: int) -> dict[str, Runtime]:
    """All runtimes that are installed; ours comes first."""
    makers: dict[str, tuple[tuple[str, ...], Callable[[], Runtime]]] = {
        OURS: ((), lambda: OurRuntime(folder, threads)),
        TORCH: (("torch", "transformers"), lambda: TorchRuntime(folder, threads)),
        ONNX: (("onnx", "onnxruntime"), lambda: _make_onnx(folder, threads)),
        LLAMA_FLOAT: (("llama_cpp", "gguf"), lambda: _make_llama(folder, threads, quantised=False)),
        LLAMA_Q8: (("llama_cpp", "gguf"), lambda: _make_llama(folder, threads, quantised=True)),
    }
    runtimes = {}
    for name, (packages, make) in makers.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            print(f"{name} is left out: {', '.join(missing)} not installed")
        else:
            runtimes[name] = make()
    return runtimes


def _make_onnx(folder: Path, threads: int) -> Runtime:
    file = folder / "model.onnx"
    if not file.exists():
        write_onnx(folder, file)
    return OnnxRuntime(file, folder, threads)


def _make_llama(folder: Path, threads: int, *, quantised: bool) -> Runtime:
    file = folder / ("q8_0.gguf" if quantised else "float32.gguf")
    if not file.exists():
        write_gguf(folder, file, quantised=quantised)
    return LlamaCppRuntime(file, threads, STREAMS, CONTEXT_TOKENS)


def measure(runtimes: dict[str, Runtime], decoded_tokens: int, repeats: int) -> Rates:
    """Best rates of each."""
    best = {name: [0.0, 0.0, 0.0] for name in runtimes}
    for _ in range(repeats):
        for name, runtime in runtimes.items():
            rates = (
                runtime.decode(1, decoded_tokens),
                runtime.decode(STREAMS, decoded_tokens),
                runtime.prefill(PREFILL_TOKENS),
            )
            best[name] = [max(pair) for pair in zip(best[name], rates, strict=True)]
    return {name: tuple(rates) for name, rates in best.items()}


def print_table(shape: str, threads: int, rates: Rates, weight_bytes: int, bandwidth: float) -> None:
    """Tokens/s, and in brackets how many times each other runtime's rate ours is."""
    share = rates[OURS][0] * weight_bytes / bandwidth
    print(f"\n**{shape}**, {weight_bytes / 1e6:,.0f} MB of int8 weights, {threads} thread(s).", end=" ")
    print(f"Memory gives {bandwidth / _GIGABYTE:.1f} GB/s; one stream reads weights at {share:.0%} of that.\n")
    print(f"| tokens/s (ours is times as fast) | {' | '.join(COLUMNS)} |\n|---|---|---|---|")
    for name, row in rates.items():
        cells = [
            f"{rate:,.0f}" + ("" if name == OURS else f" ({ours / rate:.1f})")
            for rate, ours in zip(row, rates[OURS], strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print a table for each shape and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", choices=SHAPES, nargs="+", default=["S", "M"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    bandwidths = {threads: measure_bandwidth(threads) for threads in options.threads}
    for shape in options.shapes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_random_checkpoint(folder, SHAPES[shape])
            for threads, bandwidth in bandwidths.items():
                runtimes = prepare(folder, threads)
                weight_bytes = next(each.weight_bytes for each in runtimes.values() if isinstance(each, OurRuntime))
                rates = measure(runtimes, DECODED_TOKENS[shape], options.repeats)
                print_table(shape, threads, rates, weight_bytes, bandwidth)


if __name__ == "__main__":
    main()
