"""Every family in the chip's numerics: the same bits however tokens are grouped, and near float32."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend.graph.families import make_graph
from lpu_backend.graph.tensors import make_random_tensors
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.float_numerics import FloatNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.runtime.numerics import Numerics
from lpu_backend.runtime.page_pool import TokenRun
from tests.lpu_backend.small_models import SMALL_MODELS, VOCABULARY_TOKENS

IDS = [int(i) for i in np.random.default_rng(5).integers(0, VOCABULARY_TOKENS, 90)]


def run_family(family: str, sizes: list[int], numerics: Numerics | None = None) -> NDArray[Any]:
    """Logits after every token, the tokens given in chunks of these sizes."""
    graph = make_graph(SMALL_MODELS[family])
    model = GraphModel(graph, make_random_tensors(graph, 1), numerics or ChipNumerics(graph.context_window))
    cache = model.make_cache()
    chunks = [IDS[start:end] for start, end in pairwise([0, *np.cumsum(sizes).tolist()])]
    return np.concatenate([model.compute_logits(model.extend(chunk, cache)) for chunk in chunks])


@pytest.mark.parametrize("family", SMALL_MODELS)
def test_how_tokens_are_grouped_changes_no_bit_of_any_family(family: str) -> None:
    whole = run_family(family, [90])
    for sizes in ([1] * 90, [23, 1, 1, 40, 25]):
        np.testing.assert_array_equal(run_family(family, sizes), whole)


@pytest.mark.parametrize("family", SMALL_MODELS)
def test_the_logits_of_every_family_are_near_those_of_float32(family: str) -> None:
    served, reference = run_family(family, [90]), run_family(family, [90], FloatNumerics())
    difference = np.sqrt(np.square(served - reference).mean(axis=1) / np.square(reference).mean(axis=1))
    assert 0 < np.median(difference) < 0.08  # of most tokens: where two experts are near, the other may be chosen


@pytest.mark.parametrize("family", SMALL_MODELS)
def test_who_else_is_in_a_pass_changes_no_bit_of_any_family(family: str) -> None:
    alone = run_family(family, [90])
    graph = make_graph(SMALL_MODELS[family])
    model = GraphModel(graph, make_random_tensors(graph, 1), ChipNumerics(graph.context_window))
    pool = model.make_pool(40)
    pages = np.random.default_rng(3).permutation(40).astype(np.int32).reshape(5, 8)
    begun = [0, 17, 5, 40, 64]
    model.compute_hidden([TokenRun(IDS[:cut], 0, own) for cut, own in zip(begun, pages, strict=True) if cut], pool)
    runs = [TokenRun(IDS[cut : cut + 20], cut, own) for cut, own in zip(begun, pages, strict=True)]
    together = model.compute_logits(model.compute_hidden(runs, pool))
    np.testing.assert_array_equal(together, np.concatenate([alone[cut : cut + 20] for cut in begun]))


def test_a_run_that_its_pages_cannot_hold_is_refused() -> None:
    graph = make_graph(SMALL_MODELS["llama"])
    model = GraphModel(graph, make_random_tensors(graph, 1), ChipNumerics(graph.context_window))
    with pytest.raises(ValueError, match="cannot hold 17 tokens"):
        model.compute_hidden([TokenRun([3], 16, np.arange(1, dtype=np.int32))], model.make_pool(1))
