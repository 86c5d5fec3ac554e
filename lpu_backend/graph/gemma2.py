"""Gemma 2: norms on both sides of each half, capped scores and logits, every other layer with a window."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lpu_backend.graph.decoder import make_decoder
from lpu_backend.graph.decoder_config import FULL, SLIDING, Count, DecoderConfig, read_config
from lpu_backend.graph.layer_nodes import Attention, LayerNodes
from lpu_backend.graph.nodes import ModelGraph

_OFFSET = 1.0
"""Norms' weights are stored as their distance from 1."""


class Gemma2Config(DecoderConfig, frozen=True, kw_only=True):
    """`hidden_activation` is what counts; old files have `hidden_act` beside it."""

    head_dim: Count = 256
    max_position_embeddings: Count = 8192
    hidden_activation: str | None = "gelu_pytorch_tanh"
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    query_pre_attn_scalar: float = 256.0
    sliding_window: Count | None = 4096
    layer_types: list[str] | None = None
    final_logit_softcapping: float | None = 30.0
    attn_logit_softcapping: float | None = 50.0
    use_bidirectional_attention: bool | None = None

    @property
    def windows(self) -> tuple[int | None, ...]:
        types = self.layer_types or [FULL if i % 2 else SLIDING for i in range(self.num_hidden_layers)]
        return self.place_window(types, self.sliding_window)

    def list_refusals(self) -> list[tuple[bool, str, str]]:
        tanh = "gelu_pytorch_tanh"
        return [
            *(each for each in super().list_refusals() if each[1] != "hidden_act"),
            (
                self.hidden_activation in (tanh, None),
                "hidden_activation",
                f"{self.hidden_activation!r} is not supported, only {tanh!r}",
            ),
            (self.query_pre_attn_scalar > 0, "query_pre_attn_scalar", "must be above 0"),
            (not self.use_bidirectional_attention, "use_bidirectional_attention", "is not supported"),
            *(
                (cap is None or cap > 0, field, "must be above 0")
                for field, cap in (
                    ("attn_logit_softcapping", self.attn_logit_softcapping),
                    ("final_logit_softcapping", self.final_logit_softcapping),
                )
            ),
        ]


def make_gemma2(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, Gemma2Config)
    attention = Attention(
        input_bias=config.attention_bias,
        output_bias=config.attention_bias,
        scale=1.0 / math.sqrt(config.query_pre_attn_scalar),
        softcap=config.attn_logit_softcapping,
    )

    def add_layer(layer: LayerNodes, source: str) -> str:
        normed = layer.norm("attention_norm", source, "input_layernorm", offset=_OFFSET)
        attended = layer.attend(normed, attention)
        attended = layer.norm("attention_post_norm", attended, "post_attention_layernorm", offset=_OFFSET)
        middle = layer.add("attention_residual", source, attended)
        normed = layer.norm("mlp_norm", middle, "pre_feedforward_layernorm", offset=_OFFSET)
        down = layer.gated_mlp(normed, "gelu_tanh")
        down = layer.norm("mlp_post_norm", down, "post_feedforward_layernorm", offset=_OFFSET)
        return layer.add("residual", middle, down)

    return make_decoder(
        config,
        "gemma2",
        add_layer,
        embedding_factor=float(np.float32(math.sqrt(config.hidden_size))),
        norm_offset=_OFFSET,
        softcap=config.final_logit_softcapping,
    )
