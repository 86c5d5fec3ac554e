"""The proof: compiled programs, run instruction by instruction, give the logits that are served, in the cycles that the
schedule says. Every family, on one chip and on several; and the model that ships."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.emulated_model import EmulatedModel
from lpu_backend.config import read_graph
from lpu_backend.graph.families import make_graph
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.graph.tensors import make_random_tensors
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.tensors import list_weight_files, read_tensors
from tests.lpu_backend.small_models import SMALL_MODELS

# Fetching instructions is not scheduled: a queue holds all of its own from the start.
WHOLE_CHIP = replace(GROQCHIP1, queue_instructions=1 << 16)
SMALL_CHIP = ChipSpec(name="32 lanes", tiles=2, queue_instructions=1 << 16)
STEPS = (6, 1, 24, 1, 1, 1)
"""Tokens of each: prefills and decodes, past a window of 24 and the end of a cache block of 32."""
QUICK = ("llama", "gemma2")
"""Families that are run every time."""
DEMONSTRATION_MODEL = Path(__file__).parents[3] / "models" / "lpu-demo"


def assert_alike(
    graph: ModelGraph, tensors: dict[str, NDArray[np.float32]], chips: int, chip: ChipSpec, steps: tuple[int, ...]
) -> None:
    """Bits of all logits, cycles of all steps."""
    served = GraphModel(graph, tensors, ChipNumerics(graph.context_window))
    compiled = EmulatedModel(graph, tensors, chips=chips, chip=chip)
    cache, random = served.make_cache(), np.random.default_rng(3)
    for tokens in steps:
        ids = random.integers(0, graph.vocabulary, tokens).tolist()
        expected = served.compute_logits(served.extend(ids, cache))
        step = compiled.advance(ids)
        np.testing.assert_array_equal(step.logits.view(np.uint32), expected.view(np.uint32))
        assert step.cycles == step.scheduled_cycles


def make_model(family: str, **changes: Any) -> tuple[ModelGraph, dict[str, NDArray[np.float32]]]:
    graph = make_graph({**SMALL_MODELS[family], "num_hidden_layers": 2, **changes})
    return graph, make_random_tensors(graph, seed=4)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SMALL_MODELS]
)
def test_one_chip_gives_what_is_served_in_the_scheduled_cycles(family: str) -> None:
    assert_alike(*make_model(family), 1, SMALL_CHIP, STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("chips", [2, 8])
@pytest.mark.parametrize("family", SMALL_MODELS)
def test_several_chips_give_what_is_served_in_the_scheduled_cycles(family: str, chips: int) -> None:
    assert_alike(*make_model(family), chips, SMALL_CHIP, STEPS[: 6 if chips == 2 else 3])


@pytest.mark.slow
@pytest.mark.parametrize("family", SMALL_MODELS)
def test_a_whole_chip_gives_what_is_served_in_the_scheduled_cycles(family: str) -> None:
    assert_alike(*make_model(family), 1, WHOLE_CHIP, (5, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("chips", [1, 2, 8])
def test_hidden_rows_may_take_several_vectors(chips: int) -> None:
    wide = {"hidden_size": 640, "intermediate_size": 1280, "num_attention_heads": 10, "num_key_value_heads": 5}
    assert_alike(*make_model("llama", **wide), chips, WHOLE_CHIP, (4, 1, 1))


def test_a_small_model_fits_the_queues_as_they_are() -> None:
    assert_alike(*make_model("llama"), 1, GROQCHIP1, (3, 1))


@pytest.mark.slow
def test_the_model_that_ships_runs_on_the_emulated_chip() -> None:
    tensors = read_tensors(list_weight_files(DEMONSTRATION_MODEL), hashlib.sha256())
    assert_alike(read_graph(DEMONSTRATION_MODEL), dict(tensors), 1, WHOLE_CHIP, (5, 1, 1))
