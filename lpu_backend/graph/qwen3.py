"""Qwen 3: each head of queries and keys is normalised before it is rotated."""

from collections.abc import Mapping
from typing import Any

from lpu_backend.graph.decoder import make_pre_norm_decoder
from lpu_backend.graph.decoder_config import Count, read_config
from lpu_backend.graph.layer_nodes import Attention
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.graph.qwen2 import QwenWindowConfig


class Qwen3Config(QwenWindowConfig, frozen=True, kw_only=True):
    """Heads are 128 wide unless it says otherwise, whatever the hidden size."""

    head_dim: Count = 128
    attention_bias: bool = False


def make_qwen3(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, Qwen3Config)
    attention = Attention(input_bias=config.attention_bias, output_bias=config.attention_bias, normalises_heads=True)
    return make_pre_norm_decoder(config, "qwen3", attention, lambda layer, source: layer.gated_mlp(source, "silu"))
