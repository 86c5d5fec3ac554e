"""Layers that differ in numbers and names alone are of one kind, and so are scheduled once."""

import pytest

from lpu_backend.compiler.model_lowering import ModelLowering
from lpu_backend.graph.families import FAMILIES, make_graph
from tests.lpu_backend.small_models import SMALL_MODELS

KINDS = {"gemma2": ((0, 2), (1,)), "gpt_oss": ((0, 2), (1,)), "qwen2": ((0,), (1, 2)), "qwen3_moe": ((0, 2), (1,))}


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_that_compute_alike_are_of_one_kind(family: str) -> None:
    lowering = ModelLowering(make_graph(SMALL_MODELS[family]))
    assert tuple(kind.layers for kind in lowering.kinds) == KINDS.get(family, ((0, 1, 2),))
