"""The kernels that serve compute what numpy's definition does, bit for bit."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend import SamplingParams
from lpu_backend.arithmetic import functions
from lpu_backend.arithmetic.planes import split_planes
from lpu_backend.graph.families import make_graph
from lpu_backend.graph.tensors import Tensors, make_random_tensors
from lpu_backend.runtime import sampling
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.runtime.kernel_loading import start_loading
from lpu_backend.runtime.kernel_model import KernelModel
from lpu_backend.runtime.page_pool import TokenRun
from lpu_backend.runtime.sampling import sample_token
from tests.lpu_backend.small_models import SMALL_MODELS, VOCABULARY_TOKENS

IDS = [int(i) for i in np.random.default_rng(5).integers(0, VOCABULARY_TOKENS, 1_200)]
WIDE: dict[str, Any] = {**SMALL_MODELS["llama"], "intermediate_size": 4_096, "max_position_embeddings": 2_048}


def make_models(
    config: dict[str, Any], threads: int = 1, tensors: Tensors | None = None
) -> tuple[GraphModel, KernelModel]:
    """Numpy's and the kernels', of the same weights."""
    graph = make_graph(config)
    tensors = tensors or make_random_tensors(graph, 1)
    served = KernelModel(graph, tensors, threads)
    served.wait_for_kernels()
    return GraphModel(graph, tensors, ChipNumerics(graph.context_window)), served


def run_chunks(model: GraphModel, ids: list[int], sizes: list[int]) -> NDArray[np.uint32]:
    """The bits of hidden rows and logits after every token, the tokens given in chunks of these sizes."""
    cache, bounds = model.make_cache(), np.cumsum([0, *sizes])
    hidden = [model.extend(ids[start:end], cache) for start, end in pairwise(bounds)]
    rows = np.concatenate(hidden)
    return np.concatenate([rows, model.compute_logits(rows)], axis=1).view(np.uint32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", SMALL_MODELS)
def test_every_family_is_computed_as_numpy_does_however_its_tokens_are_grouped(family: str, threads: int) -> None:
    numpy_model, served = make_models(SMALL_MODELS[family], threads)
    expected = run_chunks(numpy_model, IDS[:90], [90])
    for sizes in ([90], [23, 1, 1, 40, 25], [1] * 90):
        np.testing.assert_array_equal(run_chunks(served, IDS[:90], sizes), expected)


@pytest.mark.parametrize("streams", [2, 7, 32])
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss"])
def test_a_batch_changes_no_bit_of_any_stream(family: str, streams: int) -> None:
    numpy_model, served = make_models(SMALL_MODELS[family])
    alone = run_chunks(numpy_model, IDS[:60], [60])
    pages = np.random.default_rng(2).permutation(streams * 4).astype(np.int32).reshape(streams, 4)
    begun, pool = [(7 * stream) % 50 for stream in range(streams)], served.make_pool(streams * 4)
    first = [TokenRun(IDS[:cut], 0, own) for cut, own in zip(begun, pages, strict=True) if cut]
    served.compute_hidden(first, pool)
    for step in range(3):
        runs = [TokenRun([IDS[cut + step]], cut + step, own) for cut, own in zip(begun, pages, strict=True)]
        rows = served.compute_hidden(runs, pool)
        together = np.concatenate([rows, served.compute_logits(rows)], axis=1).view(np.uint32)
        np.testing.assert_array_equal(together, alone[[cut + step for cut in begun]])


def test_sums_that_fp32_does_not_hold_are_rounded_as_numpy_rounds_them() -> None:
    random = make_random_tensors(make_graph(WIDE), 1)
    # Large codes of one sign, and activations that are nearly alike: sums far beyond 2^24.
    tensors = {name: np.abs(each) * np.float32(0.05) + 1 if ".mlp." in name else each for name, each in random.items()}
    numpy_model, served = make_models(WIDE, tensors=tensors)
    assert served.wide_matrices > 0
    np.testing.assert_array_equal(run_chunks(served, IDS[:12], [7, 5]), run_chunks(numpy_model, IDS[:12], [12]))


def test_a_context_of_more_tokens_than_one_exact_product_is_computed_as_numpy_does() -> None:
    numpy_model, served = make_models(WIDE)
    sizes = [1_030, 1, 1, 1, 1, 60, 106]
    np.testing.assert_array_equal(run_chunks(served, IDS, sizes), run_chunks(numpy_model, IDS, sizes))


def test_numpy_computes_the_same_while_the_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    _, served = make_models(SMALL_MODELS["mixtral"])
    graph = make_graph(SMALL_MODELS["mixtral"])
    waiting = KernelModel(graph, make_random_tensors(graph, 1))
    monkeypatch.setattr(waiting, "_get_kernels", lambda: None)
    np.testing.assert_array_equal(run_chunks(waiting, IDS[:40], [40]), run_chunks(served, IDS[:40], [30, 10]))


def make_bits(count: int) -> NDArray[np.float32]:
    """Random numbers of all magnitudes and those on the edges, no NaN."""
    random = np.random.default_rng(7).integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
    edges = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 88.0, -200.0, -104.0, 20.0, 1.0], np.float32)
    return np.concatenate([edges, random[~np.isnan(random)]])


def check_function(expected: Callable[[Any], Any], found: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found.view(np.uint32), expected(x).view(np.uint32))


def test_exp_and_tanh_have_the_bits_of_the_definition() -> None:
    from lpu_backend.runtime.kernels.functions import exp, exp_all, tanh_all

    @numba.njit
    def apply(x: Any, one: Any, exps: Any, tanhs: Any, wide: Any, bits: Any) -> None:
        for i in range(len(x)):
            one[i] = exp(min(x[i], np.float32(88.0)))
            exps[i] = min(x[i], np.float32(88.0))
        exp_all(exps, np.float32(0.0), wide, bits)
        tanh_all(x, tanhs, wide, bits)

    x = make_bits(200_000)
    one, exps, tanhs = (np.empty_like(x) for _ in range(3))
    apply(x, one, exps, tanhs, np.empty(256), np.empty(256, np.int64))
    check_function(functions.exp, one, np.minimum(x, np.float32(88.0)))
    check_function(functions.exp, exps, np.minimum(x, np.float32(88.0)))
    check_function(functions.tanh, tanhs, x)


def test_rows_are_split_into_the_planes_of_the_definition() -> None:
    from lpu_backend.runtime.kernels.rows import split_row, split_row_apart

    @numba.njit
    def apply(x: Any, numbers: Any, highs: Any, lows: Any, scales: Any) -> None:
        for row in range(len(x)):
            scales[row] = split_row(x[row], numbers[row])
            split_row_apart(x[row], highs[row], lows[row])

    random = np.random.default_rng(8)
    x = (random.standard_normal((400, 37)) * 2.0 ** random.integers(-45, 23, (400, 1))).astype(np.float32)
    x[0], x[1, 5:] = 0.0, -0.0
    numbers, highs, lows = (np.empty((400, 40), np.int16) for _ in range(3))
    scales = np.empty((400, 1), np.float32)
    apply(x, numbers, highs, lows, scales[:, 0])
    expected = split_planes(x)
    np.testing.assert_array_equal(scales, expected.scale)
    np.testing.assert_array_equal(numbers[:, :37], expected.planes[:, 0] + expected.planes[:, 1])
    np.testing.assert_array_equal(128.0 * highs[:, :37], expected.planes[:, 0])
    np.testing.assert_array_equal(lows[:, :37], expected.planes[:, 1])
    assert not numbers[:, 37:].any()


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0, 1e-8, 1e-300])
def test_kernels_draw_the_tokens_that_numpy_draws(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    start_loading().result()
    random = np.random.default_rng(4)
    logits = (random.standard_normal((60, 1_500)) * 6).astype(np.float32)
    logits[:, ::7] = -np.inf
    params = [
        SamplingParams(1, temperature=temperature, seed=3),
        SamplingParams(1, temperature=temperature, seed=3, top_p=0.8, top_k=40, min_p=0.01),
    ]
    by_kernels = [sample_token(row, each, index) for index, row in enumerate(logits) for each in params]
    monkeypatch.setattr(sampling, "get_kernels", lambda: None)
    assert by_kernels == [sample_token(row, each, index) for index, row in enumerate(logits) for each in params]


def test_kernels_weigh_as_numpy_weighs(monkeypatch: pytest.MonkeyPatch) -> None:
    start_loading().result()
    logits = (np.random.default_rng(5).standard_normal(20_000) * 30).astype(np.float64)
    by_kernels = sampling._weigh(logits, 0.9)
    monkeypatch.setattr(sampling, "get_kernels", lambda: None)
    assert by_kernels.tobytes() == sampling._weigh(logits, 0.9).tobytes()
