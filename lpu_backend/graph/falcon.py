"""Falcon 40B and 180B: attention and MLP side by side, each with a layer norm of its own; keys in groups of queries."""

import math
from collections.abc import Mapping
from typing import Any

from lpu_backend.graph.decoder_config import Count, DecoderConfig, read_config
from lpu_backend.graph.function_nodes import Activate, LayerNorm
from lpu_backend.graph.nodes import Add, Attend, Embed, Linear, Matrix, ModelGraph, Node, Rotate

_EMBEDDING, _LM_HEAD = "transformer.word_embeddings.weight", "lm_head.weight"


class FalconConfig(DecoderConfig, frozen=True, kw_only=True):
    """Falcon's own fields; those it calls otherwise are read under the common names."""

    tie_word_embeddings: bool = True
    new_decoder_architecture: bool = False
    num_ln_in_parallel_attn: Count | None = None
    parallel_attn: bool = True
    bias: bool = False
    alibi: bool = False

    def list_refusals(self) -> list[tuple[bool, str, str]]:
        old = "only the architecture of Falcon 40B and 180B is supported"
        return [
            *(each for each in super().list_refusals() if each[1] != "hidden_act"),
            (self.hidden_act == "gelu", "activation", f"{self.hidden_act!r} is not supported, only 'gelu'"),
            (self.new_decoder_architecture, "new_decoder_architecture", old),
            (self.num_ln_in_parallel_attn in (None, 2), "num_ln_in_parallel_attn", "only 2 is supported"),
            (not self.bias, "bias", "is not supported"),
            (not self.alibi, "alibi", "is not supported, only rotary embeddings"),
        ]


def make_falcon(fields: Mapping[str, Any]) -> ModelGraph:
    """From the fields of config.json. Raises CheckpointError."""
    hidden = fields.get("hidden_size")
    inner = fields.get("ffn_hidden_size") or (4 * hidden if isinstance(hidden, int) else None)
    renamed = {
        "intermediate_size": inner,
        "num_key_value_heads": fields.get("num_kv_heads") or fields.get("num_attention_heads"),
        "rms_norm_eps": fields.get("layer_norm_epsilon", 1e-5),
        "hidden_act": fields.get("activation", "gelu"),
    }
    config = read_config({**fields, **renamed}, FalconConfig)
    embed = Embed("embed", _EMBEDDING, config.hidden_size)
    source, layers = embed.name, []
    for index in range(config.num_hidden_layers):
        nodes = _make_layer(config, index, source)
        source = nodes[-1].name
        layers.append(nodes)
    norm = _make_norm(config, "final_norm", source, "transformer.ln_f")
    table = _EMBEDDING if config.tie_word_embeddings else _LM_HEAD
    logits = Linear("logits", (norm.name,), Matrix(table, config.hidden_size, config.vocab_size))
    return ModelGraph(
        family="falcon",
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        context_window=config.max_position_embeddings,
        embed=embed,
        layers=tuple(layers),
        head=(norm, logits),
        rope=config.make_rope_table(),
    )


def _make_layer(config: FalconConfig, index: int, source: str) -> tuple[Node, ...]:
    """source + attention(norm) + mlp(another norm)."""
    name, tensors = f"layers.{index}.", f"transformer.h.{index}."
    hidden, inner = config.hidden_size, config.intermediate_size
    attention_norm = _make_norm(config, f"{name}attention_norm", source, f"{tensors}ln_attn")
    attention = _make_attention(config, index, attention_norm.name)
    output_matrix = Matrix(f"{tensors}self_attention.dense.weight", hidden, hidden)
    output = Linear(f"{name}attention_output", (attention[-1].name,), output_matrix)
    mlp_norm = _make_norm(config, f"{name}mlp_norm", source, f"{tensors}ln_mlp")
    up = Linear(f"{name}up", (mlp_norm.name,), Matrix(f"{tensors}mlp.dense_h_to_4h.weight", hidden, inner))
    activated = Activate(f"{name}activated", (up.name,), inner, "gelu")
    down = Linear(f"{name}down", (activated.name,), Matrix(f"{tensors}mlp.dense_4h_to_h.weight", inner, hidden))
    both = Add(f"{name}both", (down.name, output.name), hidden)
    residual = Add(f"{name}residual", (source, both.name), hidden)
    return (attention_norm, *attention, output, mlp_norm, up, activated, down, both, residual)


def _make_attention(config: FalconConfig, index: int, source: str) -> tuple[Node, ...]:
    """The fused tensor has, for each key head, its queries' rows, its own, and its value's."""
    name, width, keys = f"layers.{index}.", config.head_width, config.kv_heads
    group = config.query_heads // keys

    def project(what: str, first: int, heads: int) -> Linear:
        rows = first * width, (first + heads) * width
        tensor = f"transformer.h.{index}.self_attention.query_key_value.weight"
        matrix = Matrix(tensor, config.hidden_size, keys * heads * width, rows=rows, groups=keys)
        return Linear(f"{name}{what}", (source,), matrix)

    query, key, value = project("query", 0, group), project("key", group, 1), project("value", group + 1, 1)
    query_rotated = Rotate(f"{name}query_rotated", (query.name,), config.query_heads, width)
    key_rotated = Rotate(f"{name}key_rotated", (key.name,), keys, width)
    attend = Attend(
        f"{name}attention",
        (query_rotated.name, key_rotated.name, value.name),
        layer=index,
        query_heads=config.query_heads,
        kv_heads=keys,
        head_dim=width,
        scale=1.0 / math.sqrt(width),
    )
    return query, query_rotated, key, key_rotated, value, attend


def _make_norm(config: FalconConfig, name: str, source: str, tensor: str) -> LayerNorm:
    epsilon = config.rms_norm_eps
    return LayerNorm(name, (source,), config.hidden_size, f"{tensor}.weight", f"{tensor}.bias", epsilon)
