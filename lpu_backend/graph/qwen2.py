"""Qwen 2 and 2.5: biases on queries, keys and values; the upper layers may have a window."""

from collections.abc import Mapping
from typing import Any

from lpu_backend.graph.decoder import make_pre_norm_decoder
from lpu_backend.graph.decoder_config import FULL, SLIDING, Count, DecoderConfig, Index, read_config
from lpu_backend.graph.layer_nodes import Attention
from lpu_backend.graph.nodes import ModelGraph


class QwenWindowConfig(DecoderConfig, frozen=True, kw_only=True):
    """`sliding_window` counts only with `use_sliding_window`, and from layer `max_window_layers` on."""

    max_position_embeddings: Count = 32_768
    use_sliding_window: bool = False
    sliding_window: Count | None = 4096
    max_window_layers: Index = 28
    layer_types: list[str] | None = None

    @property
    def windows(self) -> tuple[int | None, ...]:
        types = self.layer_types
        if types is None:
            types = [SLIDING if i >= self.max_window_layers else FULL for i in range(self.num_hidden_layers)]
        return self.place_window(types, self.sliding_window if self.use_sliding_window else None)


def make_qwen2(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, QwenWindowConfig)
    attention = Attention(input_bias=True)
    return make_pre_norm_decoder(config, "qwen2", attention, lambda layer, source: layer.gated_mlp(source, "silu"))
