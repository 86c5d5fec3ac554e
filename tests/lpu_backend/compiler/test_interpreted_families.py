"""Vector programs mean what the runtime serves, bit for bit: every family, on one chip and on several."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.graph.families import make_graph
from lpu_backend.graph.tensors import make_random_tensors
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.graph_model import GraphModel
from tests.lpu_backend.compiler.interpreted_model import InterpretedModel
from tests.lpu_backend.small_models import SMALL_MODELS

SMALL_CHIP = ChipSpec(name="32 lanes", tiles=2)
STEPS = [7, 1, 1, 18, 1, 1, 1, 4, 1]
"""Tokens of each: with them a window of 24 fills and moves, and so does a cache block of 32."""


def run_both(config: dict[str, Any], chips: int, chip: ChipSpec) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Logits of each step from both executors."""
    graph = make_graph(config)
    tensors = make_random_tensors(graph, seed=4)
    served, compiled = (
        GraphModel(graph, tensors, ChipNumerics(graph.context_window)),
        InterpretedModel(graph, tensors, chips=chips, chip=chip),
    )
    cache, random = served.make_cache(), np.random.default_rng(2)
    pairs = []
    for tokens in STEPS:
        ids = random.integers(0, graph.vocabulary, tokens).tolist()
        pairs.append((served.compute_logits(served.extend(ids, cache)), compiled.advance(ids)))
    return pairs


@pytest.mark.parametrize("chips", [1, 2, 8])
@pytest.mark.parametrize("family", SMALL_MODELS)
def test_programs_mean_what_is_served(family: str, chips: int) -> None:
    for served, compiled in run_both(SMALL_MODELS[family], chips, SMALL_CHIP):
        np.testing.assert_array_equal(compiled.view(np.uint32), served.view(np.uint32))


@pytest.mark.parametrize("chips", [1, 2])
@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3_moe"])
def test_programs_of_the_whole_chip_mean_what_is_served(family: str, chips: int) -> None:
    for served, compiled in run_both(SMALL_MODELS[family], chips, GROQCHIP1):
        np.testing.assert_array_equal(compiled.view(np.uint32), served.view(np.uint32))
