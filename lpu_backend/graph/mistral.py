"""Mistral 7B and its kin: a Llama without biases whose layers may see a window of the context alone."""

from collections.abc import Mapping
from typing import Any

from lpu_backend.graph.decoder import make_pre_norm_decoder
from lpu_backend.graph.decoder_config import Count, DecoderConfig, read_config
from lpu_backend.graph.layer_nodes import Attention
from lpu_backend.graph.nodes import ModelGraph


class MistralConfig(DecoderConfig, frozen=True, kw_only=True):
    """Later versions have no window: null."""

    max_position_embeddings: Count = 131_072
    sliding_window: Count | None = 4096

    @property
    def windows(self) -> tuple[int | None, ...]:
        return self.place_window(None, self.sliding_window)


def make_mistral(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, MistralConfig)
    return make_pre_norm_decoder(config, "mistral", Attention(), lambda layer, source: layer.gated_mlp(source, "silu"))
