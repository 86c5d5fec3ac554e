"""Weights laid out for decoding: matrices fused, constants folded into them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lpu_backend.config import ModelConfig
from lpu_backend.runtime.numerics import Floats, Linear, Numerics
from lpu_backend.tensors import EMBEDDING, FINAL_NORM, LM_HEAD

Tensors = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One decoder layer. The norms' weights and the attention scale are already in the matrices that follow them."""

    qkv: Linear
    attention_output: Linear
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """`embedding` [vocabulary, hidden]; `lm_head` hidden to vocabulary, the final norm's weights included."""

    embedding: Floats
    layers: tuple[LayerWeights, ...]
    lm_head: Linear


def arrange_weights(config: ModelConfig, tensors: Tensors, numerics: Numerics) -> ModelWeights:
    """Fuse and fold the tensors of a checkpoint (names and shapes already checked)."""
    embedding = tensors[EMBEDDING]
    head = embedding if config.tie_word_embeddings else tensors[LM_HEAD]
    arrange = _Arrangement(config, tensors, numerics)
    return ModelWeights(
        embedding=embedding,
        layers=tuple(arrange.layer(f"model.layers.{layer}") for layer in range(config.num_hidden_layers)),
        lm_head=numerics.make_linear(head * tensors[FINAL_NORM], None),
    )


@dataclass(frozen=True, slots=True)
class _Arrangement:
    config: ModelConfig
    tensors: Tensors
    numerics: Numerics

    def layer(self, prefix: str) -> LayerWeights:
        return LayerWeights(
            qkv=self._qkv(prefix),
            attention_output=self._one(f"{prefix}.self_attn.o_proj"),
            gate_up=self._gate_up(prefix),
            down=self._one(f"{prefix}.mlp.down_proj"),
        )

    def _qkv(self, prefix: str) -> Linear:
        scale = np.float32(1.0 / math.sqrt(self.config.head_width))
        names = [f"{prefix}.self_attn.{letter}_proj" for letter in "qkv"]
        return self._fuse(names, f"{prefix}.input_layernorm", scale)

    def _gate_up(self, prefix: str) -> Linear:
        # Half the gate is what the tanh form of SiLU wants (see Numerics.activate); halving a float is exact.
        names = [f"{prefix}.mlp.gate_proj", f"{prefix}.mlp.up_proj"]
        return self._fuse(names, f"{prefix}.post_attention_layernorm", np.float32(0.5))

    def _fuse(self, names: list[str], norm: str, first_scale: np.float32) -> Linear:
        """The matrices one below the other, the first one scaled, the norm's weights in the columns of all."""
        scales = [first_scale] + [np.float32(1.0)] * (len(names) - 1)
        pairs = list(zip(names, scales, strict=True))
        weight = np.concatenate([self.tensors[f"{name}.weight"] * scale for name, scale in pairs])
        bias = None
        if f"{names[0]}.bias" in self.tensors:
            bias = np.concatenate([self.tensors[f"{name}.bias"] * scale for name, scale in pairs])
        return self.numerics.make_linear(weight * self.tensors[f"{norm}.weight"], bias)

    def _one(self, name: str) -> Linear:
        return self.numerics.make_linear(self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))
