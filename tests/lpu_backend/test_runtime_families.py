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
from tests.lpu_backend.small_models import SMALL_MODELS, VOCABULARY_TOKENS

IDS = [int(i) for i in np.random.default_rng(5).integers(0, VOCABULARY_TOKENS, 90)]


def run_family(family: str, sizes: list[int], numerics: Numerics | None = None) -> NDArray[Any]:
    """Logits after every token, the tokens given in chunks of these sizes."""
    graph = make_graph(SMALL_MODELS[family])
    model = GraphModel(graph, make_random_tensors(graph, 1), numerics or ChipNumerics(graph.context_window))
    cache = model.make_cache()
    chunks = [IDS[start:end] for start, end in pairwise([0, *np.cumsum(sizes).tolist()])]
    return np.concatenate([model.compute_logits(model.compute_hidden(chunk, cache)) for chunk in chunks])


@pytest.mark.parametrize("family", SMALL_MODELS)
def test_how_tokens_are_grouped_changes_no_bit_of_any_family(family: str) -> None:
    whole = run_family(family, [90])
    for sizes in ([1] * 90, [23, 1, 1, 40, 25]):
        np.testing.assert_array_equal(run_family(family, sizes), whole)


@pytest.mark.parametrize("family", SMALL_MODELS)
def test_the_logits_of_every_family_are_near_those_of_float32(family: str) -> None:
    served, reference = run_family(family, [90]), run_family(family, [90], FloatNumerics())
    difference = np.sqrt(np.square(served - reference).mean(axis=1) / np.square(reference).mean(axis=1))
    assert 0 < np.median(difference) < 0.05  # of most tokens: where two experts are near, the other may be chosen
