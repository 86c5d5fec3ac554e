"""Llama 2 and 3."""

from collections.abc import Mapping
from typing import Any

from lpu_backend.graph.decoder import make_pre_norm_decoder
from lpu_backend.graph.decoder_config import DecoderConfig, read_config
from lpu_backend.graph.layer_nodes import Attention
from lpu_backend.graph.nodes import ModelGraph


class LlamaConfig(DecoderConfig, frozen=True, kw_only=True):
    """Biases are off in the published models."""

    attention_bias: bool = False
    mlp_bias: bool = False


def make_llama(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, LlamaConfig)
    attention = Attention(input_bias=config.attention_bias, output_bias=config.attention_bias)
    return make_pre_norm_decoder(
        config, "llama", attention, lambda layer, source: layer.gated_mlp(source, "silu", bias=config.mlp_bias)
    )
