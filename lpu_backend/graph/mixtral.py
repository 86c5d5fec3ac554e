"""Mixtral: a Mistral with experts in place of its MLP."""

from collections.abc import Mapping
from typing import Any

from lpu_backend.graph.decoder import make_pre_norm_decoder
from lpu_backend.graph.decoder_config import Count, DecoderConfig, read_config
from lpu_backend.graph.layer_nodes import Attention, ExpertNames, LayerNodes
from lpu_backend.graph.nodes import ModelGraph

_NAMES = ExpertNames(
    router="block_sparse_moe.gate",
    gate="block_sparse_moe.experts.{}.w1",
    up="block_sparse_moe.experts.{}.w3",
    down="block_sparse_moe.experts.{}.w2",
)


class MixtralConfig(DecoderConfig, frozen=True, kw_only=True):
    """The chosen experts' shares always add up to 1."""

    max_position_embeddings: Count = 131_072
    rms_norm_eps: float = 1e-5
    rope_theta: float = 1_000_000.0
    sliding_window: Count | None = None
    num_local_experts: Count = 8
    num_experts_per_tok: Count = 2

    @property
    def windows(self) -> tuple[int | None, ...]:
        return self.place_window(None, self.sliding_window)

    def list_refusals(self) -> list[tuple[bool, str, str]]:
        is_met = self.num_experts_per_tok <= self.num_local_experts
        refusal = f"more than the {self.num_local_experts} experts"
        return [*super().list_refusals(), (is_met, "num_experts_per_tok", refusal)]


def make_mixtral(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, MixtralConfig)

    def add_experts(layer: LayerNodes, source: str) -> str:
        return layer.experts(
            source,
            _NAMES,
            inner=config.intermediate_size,
            count=config.num_local_experts,
            active=config.num_experts_per_tok,
            renormalise=True,
        )

    return make_pre_norm_decoder(config, "mixtral", Attention(), add_experts)
