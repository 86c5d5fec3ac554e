"""From the fields of config.json to a model graph, by the name of the family. No weights are needed."""

from collections.abc import Callable, Mapping
from typing import Any

from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.falcon import make_falcon
from lpu_backend.graph.gemma2 import make_gemma2
from lpu_backend.graph.gpt_oss import make_gpt_oss
from lpu_backend.graph.llama import make_llama
from lpu_backend.graph.mistral import make_mistral
from lpu_backend.graph.mixtral import make_mixtral
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.graph.qwen2 import make_qwen2
from lpu_backend.graph.qwen3 import make_qwen3
from lpu_backend.graph.qwen3_moe import make_qwen3_moe

FAMILIES: dict[str, Callable[[Mapping[str, Any]], ModelGraph]] = {
    "falcon": make_falcon,
    "gemma2": make_gemma2,
    "gpt_oss": make_gpt_oss,
    "llama": make_llama,
    "mistral": make_mistral,
    "mixtral": make_mixtral,
    "qwen2": make_qwen2,
    "qwen3": make_qwen3,
    "qwen3_moe": make_qwen3_moe,
}
"""By `model_type`."""


def make_graph(fields: Mapping[str, Any]) -> ModelGraph:
    """The graph of a decoded config.json. Raises CheckpointError that names the field that cannot be served."""
    family = fields.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise CheckpointError(f"config.json: model_type: {family!r} is not supported, only {', '.join(FAMILIES)}")
    return FAMILIES[family](fields)
