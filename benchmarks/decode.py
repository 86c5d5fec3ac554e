"""Decode rate of the runtime, in both of its numerics, beside transformers on torch, where it is installed.

    OPENBLAS_NUM_THREADS=1 python benchmarks/decode.py [--shape S|M] [--repeats N]

Same random weights, same run. One stream, 128 greedy tokens after a prompt of 16; the best of the repeats of each, and
their ratio. Rates differ between machines and hours: only the ratio of one run is worth comparing.
"""

import argparse
import hashlib
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from safetensors.numpy import save_file

from lpu_backend.config import read_graph
from lpu_backend.graph.tensors import list_expected_shapes
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.float_numerics import FloatNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.runtime.numerics import Numerics
from lpu_backend.tensors import list_weight_files, read_tensors

CONTEXT_TOKENS = 2_048
PROMPT_TOKENS = 16
COMPLETION_TOKENS = 128

SHAPES: dict[str, dict[str, int]] = {
    "S": {
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 2_048,
    },
    "M": {
        "hidden_size": 768,
        "intermediate_size": 2_048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "vocab_size": 32_000,
    },
}


def write_random_checkpoint(folder: Path, shape: dict[str, int]) -> None:
    """config.json and float32 weights of this shape, untied, from a fixed seed."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "max_position_embeddings": CONTEXT_TOKENS,
        **shape,
    }
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    tensors = {
        name: random.standard_normal(sizes, dtype=np.float32) * np.float32(0.02)
        for name, sizes in list_expected_shapes(read_graph(folder)).items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def prepare_runtime(folder: Path, numerics: Numerics) -> Callable[[], float]:
    """A function that decodes once and returns tokens/s."""
    tensors = read_tensors(list_weight_files(folder), hashlib.sha256())
    model = GraphModel(read_graph(folder), tensors, numerics)

    def decode() -> float:
        cache = model.make_cache()
        logits = model.advance(range(PROMPT_TOKENS), cache)
        started_s = time.perf_counter()
        for _ in range(COMPLETION_TOKENS):
            logits = model.advance([int(logits.argmax())], cache)
        return COMPLETION_TOKENS / (time.perf_counter() - started_s)

    return decode


def prepare_transformers(folder: Path) -> Callable[[], float]:
    """The same for transformers: its own model and cache, greedy, one torch thread, without `generate`'s overhead."""
    import torch
    import transformers

    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()  # type: ignore[no-untyped-call]

    def decode() -> float:
        with torch.inference_mode():
            output = model(torch.arange(PROMPT_TOKENS)[None], use_cache=True)
            started_s = time.perf_counter()
            for _ in range(COMPLETION_TOKENS):
                token = output.logits[:, -1:].argmax(-1)
                output = model(token, past_key_values=output.past_key_values, use_cache=True)
            return COMPLETION_TOKENS / (time.perf_counter() - started_s)

    return decode


def measure(shape: str, repeats: int) -> dict[str, float]:
    """Best tokens/s of each runtime; the repeats take turns, so that a change of the machine's speed meets both."""
    with tempfile.TemporaryDirectory() as folder:
        write_random_checkpoint(Path(folder), SHAPES[shape])
        runtimes = {
            "lpu_backend": prepare_runtime(Path(folder), ChipNumerics(CONTEXT_TOKENS)),
            "lpu_backend in float32": prepare_runtime(Path(folder), FloatNumerics()),
        }
        if importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"):
            runtimes["transformers + torch"] = prepare_transformers(Path(folder))
        rates = [{name: decode() for name, decode in runtimes.items()} for _ in range(repeats)]
    return {name: max(rate[name] for rate in rates) for name in runtimes}


def main() -> None:
    """Print one row per runtime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="S")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rates = measure(options.shape, options.repeats)
    reference = rates.get("transformers + torch")
    print(f"shape {options.shape}, 1 stream, 1 thread, {COMPLETION_TOKENS} greedy tokens, best of {options.repeats}")
    print(f"{'runtime':24}{'tokens/s':>10}{'ratio':>8}")
    for name, rate in rates.items():
        print(f"{name:24}{rate:>10,.0f}{rate / reference if reference else float('nan'):>8.2f}")


if __name__ == "__main__":
    main()
