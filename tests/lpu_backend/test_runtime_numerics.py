"""The runtime's numerics: the same bits however tokens are grouped, whatever libraries add up, and near float32's."""

import ast
import hashlib
import json
import os
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lpu_backend
from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.float_numerics import FloatNumerics
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.page_pool import TokenRun
from tests.lpu_backend.tiny_checkpoint import VOCABULARY_TOKENS, WriteCheckpoint

REPOSITORY = Path(__file__).parents[2]
PACKAGE = Path(lpu_backend.__file__).parent
IDS = [int(i) for i in np.random.default_rng(5).integers(0, VOCABULARY_TOKENS, 300)]
DEMO = REPOSITORY / "models" / "lpu-demo"


def run_chunks(model: CheckpointModel, chunks: list[list[int]], cache: KvCache | None = None) -> NDArray[np.float32]:
    """Logits after every token, the tokens given in these chunks."""
    runtime = model.runtime
    cache = cache or runtime.make_cache()
    return np.concatenate([runtime.compute_logits(runtime.extend(ids, cache)) for ids in chunks])


def cut(ids: list[int], sizes: list[int]) -> list[list[int]]:
    bounds = [0, *np.cumsum(sizes).tolist()]
    return [ids[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize(
    "sizes", [[1] * 300, [299, 1], [7] * 42 + [6], [1, 255, 2, 42]], ids=lambda sizes: str(sizes[:2])
)
def test_how_tokens_are_grouped_changes_no_bit(sizes: list[int], model: CheckpointModel) -> None:
    np.testing.assert_array_equal(run_chunks(model, cut(IDS, sizes)), run_chunks(model, [IDS]))


def test_grouping_changes_no_bit_past_the_context_of_one_exact_product(write_checkpoint: WriteCheckpoint) -> None:
    model = read_model(write_checkpoint(max_position_embeddings=2_048, attention_bias=True, mlp_bias=True))
    ids = IDS * 4
    np.testing.assert_array_equal(run_chunks(model, cut(ids, [1_030, 1, 1, 1, 167])), run_chunks(model, [ids]))


def test_rows_of_another_sequence_that_begins_alike_serve_as_well(model: CheckpointModel) -> None:
    pool = model.runtime.make_pool(21)
    first = np.array([20, *range(18)], np.int32)
    model.runtime.compute_hidden([TokenRun(IDS, 0, first)], pool)
    fork = [*IDS[:192], 9, 8, 7]
    second = np.append(first[:12], np.int32(19))
    hidden = model.runtime.compute_hidden([TokenRun(fork[192:], 192, second)], pool)
    np.testing.assert_array_equal(model.runtime.compute_logits(hidden), run_chunks(model, [fork])[192:])


def test_the_logits_are_near_those_of_float32(write_checkpoint: WriteCheckpoint) -> None:
    folder = write_checkpoint(tie_word_embeddings=False, attention_bias=True)
    served, reference = (run_chunks(read_model(folder, numerics), [IDS]) for numerics in (None, FloatNumerics()))
    difference, size = (np.sqrt(np.square(each).mean()) for each in (served - reference, reference))
    assert 0 < difference < 0.05 * size


def test_the_program_hash_names_the_numerics(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = read_model(checkpoint).program_hash
    assert read_model(checkpoint, FloatNumerics()).program_hash != served
    monkeypatch.setattr(ChipNumerics, "name", "version 0")
    assert read_model(checkpoint).program_hash != served


# What a host's libraries may round or order in their own way. Sums of whole numbers are exact in any order: they are
# in arithmetic/planes.py alone, which says why.
ROUNDED_BY_LIBRARIES = {
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "power", "pow", "float_power", "sin", "cos", "tan"),
    *("sinh", "cosh", "tanh", "arctan", "arctan2", "hypot", "cbrt", "add.reduce", "multiply.reduce", "convolve"),
}
ORDERED_BY_LIBRARIES = {
    *("sum", "nansum", "mean", "average", "std", "var", "prod", "norm", "trace"),
    *("dot", "vdot", "vecdot", "inner", "matmul", "matvec", "vecmat", "tensordot", "einsum"),
}
SERVING = [path for path in sorted((PACKAGE / "runtime").rglob("*.py")) if path.name != "float_numerics.py"]


def list_choices_of_libraries(source: str) -> list[str]:
    """Calls and operators whose result differs between hosts."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            root, _, name = ast.unparse(node).partition(".")
            is_library = root in {"np", "numpy", "math"}
            is_choice = node.attr in ORDERED_BY_LIBRARIES or (is_library and name in ROUNDED_BY_LIBRARIES)
            found += [ast.unparse(node)] if is_choice or node.attr.startswith("complex") else []
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult | ast.Pow):
            of_two = isinstance(node.op, ast.Pow) and ast.unparse(node).split("**")[0].strip(" (") in {"2", "2.0"}
            found += [] if of_two else [ast.unparse(node)]
    return found


@pytest.mark.parametrize("path", [*SERVING, PACKAGE / "arithmetic" / "functions.py"], ids=lambda path: path.name)
def test_serving_calls_nothing_whose_result_a_library_may_choose(path: Path) -> None:
    assert list_choices_of_libraries(path.read_text(encoding="utf-8")) == []


def test_the_reference_calls_much_of_it() -> None:
    found = list_choices_of_libraries((PACKAGE / "runtime" / "float_numerics.py").read_text(encoding="utf-8"))
    assert {"np.exp", "np.tanh", "np.vecdot", "rows @ self.weight", "scores.sum"} <= set(found)


GENERATION = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from lpu_backend.checkpoint_model import read_model
from lpu_backend.config import read_graph
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.sampling import sample_token
from lpu_backend.types import SamplingParams

folder, ids, name = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
model = read_model(folder, ChipNumerics(read_graph(folder).context_window) if name == "numpy" else None)
if name == "kernels":
    model.runtime.wait_for_kernels()
cache, hasher = model.runtime.make_cache(), hashlib.sha256()
params = SamplingParams(max_completion_tokens=1, temperature=1.1, top_p=0.95, seed=4)
logits = model.runtime.advance(ids, cache)
for position in range(40):
    hasher.update(logits.tobytes())
    logits = model.runtime.advance([sample_token(logits, params, position)], cache)
print(hasher.hexdigest())
"""
# Those that numpy was built with, that this CPU has, and that are not its baseline; others it refuses to hear of.
FEATURES: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
DEMO_DIGEST = "a22f1045bbaa367676a4358b43a454c073d273a908acc5e6e1eee5f23527bd9e"
HOSTS = {
    "as it is": {},
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
    "numpy's baseline": {"NPY_DISABLE_CPU_FEATURES": " ".join(FEATURES)},
    **{f"BLAS of {core}": {"OPENBLAS_CORETYPE": core} for core in ("Prescott", "Nehalem", "Haswell", "SkylakeX")},
    "all at once": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENBLAS_NUM_THREADS": "2",
        "NPY_DISABLE_CPU_FEATURES": " ".join(FEATURES),
    },
}


def hash_logits(folder: Path, environment: dict[str, str], numerics: str = "numpy") -> str:
    """SHA-256 of all logits of one generation, in a process of its own."""
    settings = {"OPENBLAS_NUM_THREADS": "1", **{k: v for k, v in environment.items() if v}}
    command = [sys.executable, "-c", GENERATION, str(folder), json.dumps(IDS[:100]), numerics]
    run = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_other_cpus_and_libraries_compute_the_same_bits(checkpoint: Path) -> None:
    hashes = {name: hash_logits(checkpoint, environment) for name, environment in HOSTS.items()}
    assert hashes == dict.fromkeys(HOSTS, hashes["as it is"])


# What the kernels are compiled for; what each CPU needs is kept apart, so only the first run of all waits for it.
CPUS = {
    "this one": {},
    "without AVX-512": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+fma,+sse4.2"},
    "of 2003": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
}


@pytest.mark.slow
def test_kernels_for_other_cpus_compute_the_demonstration_models_bits() -> None:
    cpus = CPUS if platform.machine() == "x86_64" else {"this one": {}}
    features = {"NPY_DISABLE_CPU_FEATURES": " ".join(FEATURES), "OPENBLAS_CORETYPE": "Haswell"}
    hashes = {name: hash_logits(DEMO, {**features, **cpu}, "kernels") for name, cpu in cpus.items()}
    assert hashes == dict.fromkeys(cpus, hash_logits(DEMO, {}, "numpy"))


def test_the_demonstration_models_bits_are_those_of_every_other_host() -> None:
    logits = run_chunks(read_model(DEMO), [list(range(3, 103))])
    assert hashlib.sha256(logits.tobytes()).hexdigest() == DEMO_DIGEST, "a change of the numerics needs a new name"
