"""Weights laid out for decoding: matrices fused, transposed to [inputs, outputs], constants folded into them.

With one BLAS thread and one row, `row @ [inputs, outputs]` measured faster than `[outputs, inputs] @ column` for every
shape of a small Llama but one; `benchmarks/decode.py` shows the rate of the whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpu_backend.config import ModelConfig
from lpu_backend.tensors import EMBEDDING, FINAL_NORM, LM_HEAD

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Linear:
    """`rows @ weight + bias`; weight [inputs, outputs], bias [outputs]."""

    weight: Floats
    bias: Floats | None

    def __call__(self, rows: Floats) -> Floats:
        """Shape [tokens, inputs] to [tokens, outputs]."""
        outputs: Floats = rows @ self.weight
        if self.bias is not None:
            outputs += self.bias
        return outputs


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One decoder layer. The norms' weights and the attention scale are already in the matrices that follow them."""

    qkv: Linear
    attention_output: Linear
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """`embedding` [vocabulary, hidden]; `lm_head` [hidden, vocabulary], the final norm's weights included."""

    embedding: Floats
    layers: tuple[LayerWeights, ...]
    lm_head: Linear


def arrange_weights(config: ModelConfig, tensors: Tensors) -> ModelWeights:
    """Fuse, fold and transpose the tensors of a checkpoint (names and shapes already checked)."""
    embedding = tensors[EMBEDDING]
    head = embedding if config.tie_word_embeddings else tensors[LM_HEAD]
    return ModelWeights(
        embedding=embedding,
        layers=tuple(_arrange_layer(config, tensors, layer) for layer in range(config.num_hidden_layers)),
        lm_head=_linear(head * tensors[FINAL_NORM], None),
    )


def _arrange_layer(config: ModelConfig, tensors: Tensors, layer: int) -> LayerWeights:
    prefix = f"model.layers.{layer}"
    return LayerWeights(
        qkv=_arrange_qkv(config, tensors, prefix),
        attention_output=_arrange_one(tensors, f"{prefix}.self_attn.o_proj"),
        gate_up=_arrange_gate_up(tensors, prefix),
        down=_arrange_one(tensors, f"{prefix}.mlp.down_proj"),
    )


def _arrange_qkv(config: ModelConfig, tensors: Tensors, prefix: str) -> Linear:
    norm = tensors[f"{prefix}.input_layernorm.weight"]
    scale = np.float32(config.head_width**-0.5)

    def fuse(kind: str, norm: Floats | None) -> Floats | None:
        parts = [tensors.get(f"{prefix}.self_attn.{letter}_proj.{kind}") for letter in "qkv"]
        if parts[0] is None or parts[1] is None or parts[2] is None:
            return None
        query = _pair_rotated_rows(parts[0], config.query_heads) * scale
        fused = np.concatenate([query, _pair_rotated_rows(parts[1], config.kv_heads), parts[2]])
        return fused if norm is None else fused * norm

    weight = fuse("weight", norm)
    assert weight is not None  # noqa: S101 - the header check saw it
    return _linear(weight, fuse("bias", None))


def _arrange_gate_up(tensors: Tensors, prefix: str) -> Linear:
    norm = tensors[f"{prefix}.post_attention_layernorm.weight"]
    gate, up = f"{prefix}.mlp.gate_proj", f"{prefix}.mlp.up_proj"
    # Half the gate is what the tanh form of SiLU wants (see llama.py); halving a float is exact.
    half = np.float32(0.5)
    bias = None
    if f"{gate}.bias" in tensors:
        bias = np.concatenate([tensors[f"{gate}.bias"] * half, tensors[f"{up}.bias"]])
    return _linear(np.concatenate([tensors[f"{gate}.weight"] * half, tensors[f"{up}.weight"]]) * norm, bias)


def _arrange_one(tensors: Tensors, name: str) -> Linear:
    return _linear(tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))


def _linear(weight: Floats, bias: Floats | None) -> Linear:
    return Linear(weight=np.ascontiguousarray(weight.T), bias=bias)


def _pair_rotated_rows(rows: Floats, heads: int) -> Floats:
    """Interleave the two halves of each head, so that a pair the rotation turns lies side by side as one complex.

    Queries and keys are reordered alike, which leaves their inner products as they were.
    """
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)
