"""gpt-oss: experts in every layer, attention sinks, every other layer with a window, biases throughout."""

from collections.abc import Mapping
from typing import Any

import msgspec

from lpu_backend.graph.decoder import make_pre_norm_decoder
from lpu_backend.graph.decoder_config import FULL, SLIDING, Count, DecoderConfig, read_config
from lpu_backend.graph.layer_nodes import Attention, LayerNodes
from lpu_backend.graph.nodes import Expert, Matrix, ModelGraph, Stacked

_ALPHA, _LIMIT = 1.702, 7.0
"""Of the published models' gate; docs/numerics.md has them as constants."""
_YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


class GptOssConfig(DecoderConfig, frozen=True, kw_only=True):
    """Published weights are MXFP4 and say so in `quantization_config`, which is refused; bfloat16 ones are served."""

    head_dim: Count = 64
    max_position_embeddings: Count = 131_072
    rms_norm_eps: float = 1e-5
    attention_bias: bool = True
    rope_theta: float = 150_000.0
    rope_scaling: dict[str, Any] | None = msgspec.field(default_factory=lambda: dict(_YARN))
    sliding_window: Count | None = 128
    layer_types: list[str] | None = None
    num_local_experts: Count = 128
    num_experts_per_tok: Count = 4
    swiglu_alpha: float = _ALPHA
    swiglu_limit: float = _LIMIT

    @property
    def windows(self) -> tuple[int | None, ...]:
        types = self.layer_types or [FULL if i % 2 else SLIDING for i in range(self.num_hidden_layers)]
        return self.place_window(types, self.sliding_window)

    def list_refusals(self) -> list[tuple[bool, str, str]]:
        is_met = self.num_experts_per_tok <= self.num_local_experts
        return [
            *super().list_refusals(),
            (is_met, "num_experts_per_tok", f"more than the {self.num_local_experts} experts"),
            (self.swiglu_alpha == _ALPHA, "swiglu_alpha", f"only {_ALPHA} is supported"),
            (self.swiglu_limit == _LIMIT, "swiglu_limit", f"only {_LIMIT} is supported"),
        ]


def make_gpt_oss(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    config = read_config(fields, GptOssConfig)
    attention = Attention(input_bias=config.attention_bias, output_bias=config.attention_bias, has_sinks=True)

    def add_experts(layer: LayerNodes, source: str) -> str:
        router = layer.matrix("mlp.router", config.hidden_size, config.num_local_experts, bias=True)
        experts = tuple(_make_expert(config, layer.tensors, index) for index in range(config.num_local_experts))
        active = config.num_experts_per_tok
        return layer.route(source, router, experts, active, renormalise=True, activation="clamped_swiglu")

    return make_pre_norm_decoder(config, "gpt_oss", attention, add_experts)


def _make_expert(config: GptOssConfig, tensors: str, index: int) -> Expert:
    """All experts are in one tensor; gate and up take turns in it."""
    hidden, inner, count = config.hidden_size, config.intermediate_size, config.num_local_experts

    def cut(name: str, inputs: int, outputs: int, stacked: Stacked) -> Matrix:
        tensor = f"{tensors}.mlp.experts.{name}"
        return Matrix(tensor, inputs, outputs, f"{tensor}_bias", stacked=stacked)

    return Expert(
        gate=cut("gate_up_proj", hidden, inner, Stacked(index, count, step=2)),
        up=cut("gate_up_proj", hidden, inner, Stacked(index, count, step=2, first=1)),
        down=cut("down_proj", inner, hidden, Stacked(index, count)),
    )
