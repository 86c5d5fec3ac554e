"""Qwen 3 with experts, for instance 235B-A22B."""

from collections.abc import Mapping
from typing import Any

from lpu_backend.graph.decoder import make_pre_norm_decoder
from lpu_backend.graph.decoder_config import Count, DecoderConfig, Index, read_config
from lpu_backend.graph.layer_nodes import Attention, ExpertNames, LayerNodes
from lpu_backend.graph.nodes import ModelGraph

_NAMES = ExpertNames(
    router="mlp.gate",
    gate="mlp.experts.{}.gate_proj",
    up="mlp.experts.{}.up_proj",
    down="mlp.experts.{}.down_proj",
)


class Qwen3MoeConfig(DecoderConfig, frozen=True, kw_only=True):
    """Layers have experts, but those in `mlp_only_layers` and those that `decoder_sparse_step` leaves out.

    How many is `num_experts` in published files, and `num_local_experts` in those that transformers 5 writes.
    """

    max_position_embeddings: Count = 32_768
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: Count | None = 4096
    decoder_sparse_step: Count = 1
    mlp_only_layers: list[Index] | None = None
    moe_intermediate_size: Count = 768
    num_experts: Count = 128
    num_local_experts: Count | None = None
    num_experts_per_tok: Count = 8
    norm_topk_prob: bool = False

    @property
    def windows(self) -> tuple[int | None, ...]:
        return self.place_window(None, self.sliding_window if self.use_sliding_window else None)

    @property
    def experts(self) -> int:
        return self.num_local_experts or self.num_experts

    def has_experts(self, layer: int) -> bool:
        return layer not in (self.mlp_only_layers or []) and (layer + 1) % self.decoder_sparse_step == 0

    def list_refusals(self) -> list[tuple[bool, str, str]]:
        is_met = self.num_experts_per_tok <= self.experts
        return [*super().list_refusals(), (is_met, "num_experts_per_tok", f"more than the {self.experts} experts")]


def make_qwen3_moe(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, Qwen3MoeConfig)
    attention = Attention(input_bias=config.attention_bias, output_bias=config.attention_bias, normalises_heads=True)

    def add_mlp(layer: LayerNodes, source: str) -> str:
        if not config.has_experts(layer.index):
            return layer.gated_mlp(source, "silu")
        return layer.experts(
            source,
            _NAMES,
            inner=config.moe_intermediate_size,
            count=config.experts,
            active=config.num_experts_per_tok,
            renormalise=config.norm_topk_prob,
        )

    return make_pre_norm_decoder(config, "qwen3_moe", attention, add_mlp)
