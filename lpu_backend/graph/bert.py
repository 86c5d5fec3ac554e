"""BERT's encoder from config.json, for one step of all its tokens: embeddings, layers, no cache."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.decoder_config import Count
from lpu_backend.graph.function_graph import FunctionGraph, Input
from lpu_backend.graph.function_nodes import Activate, Constant, LayerNorm, SelfAttend
from lpu_backend.graph.nodes import Add, Embed, Linear, Matrix, Node

IDS = "input_ids"


class BertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Under their own names, as in transformers' BertConfig."""

    vocab_size: Count = 30_522
    hidden_size: Count = 768
    num_hidden_layers: Count = 12
    num_attention_heads: Count = 12
    intermediate_size: Count = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: Count = 512
    layer_norm_eps: float = 1e-12
    is_decoder: bool = False
    position_embedding_type: str = "absolute"


def make_bert(fields: Mapping[str, Any], tokens: int) -> FunctionGraph:
    """The last layer's rows of `tokens` tokens of one segment, no token hidden; a part for the embeddings and one for
    each layer. Tensors are those of BertModel. Raises CheckpointError that names the field that cannot be had."""
    try:
        config = msgspec.convert(fields, BertConfig)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"config.json: {error}") from error
    refusals = [
        (config.hidden_act == "gelu", "hidden_act", f"{config.hidden_act!r} is not supported, only 'gelu'"),
        (config.hidden_size % config.num_attention_heads == 0, "num_attention_heads", "does not divide hidden_size"),
        (not config.is_decoder, "is_decoder", "is not supported"),
        (config.position_embedding_type == "absolute", "position_embedding_type", "only 'absolute' is supported"),
        (tokens <= config.max_position_embeddings, "max_position_embeddings", f"less than {tokens} tokens"),
    ]
    for is_met, field, refusal in refusals:
        if not is_met:
            raise CheckpointError(f"config.json: {field}: {refusal}")
    parts = [_embed(config, tokens)]
    for index in range(config.num_hidden_layers):
        parts.append(_make_layer(config, index, parts[-1][-1].name))
    return FunctionGraph(
        "bert", tokens, (Input(IDS, vocabulary=config.vocab_size),), tuple(parts), (parts[-1][-1].name,)
    )


def _embed(config: BertConfig, tokens: int) -> tuple[Node, ...]:
    """Words, then the first segment, then positions, as BertEmbeddings adds them."""
    hidden = config.hidden_size
    words = Embed("words", "embeddings.word_embeddings.weight", hidden, inputs=(IDS,))
    segment = Constant("segment", "embeddings.token_type_embeddings.weight", hidden, (0, 1))
    positions = Constant("positions", "embeddings.position_embeddings.weight", hidden, (0, tokens))
    both = Add("words_of_segment", (words.name, segment.name), hidden)
    placed = Add("words_in_place", (both.name, positions.name), hidden)
    return words, segment, both, positions, placed, _make_norm(config, "embedded", placed.name, "embeddings.LayerNorm")


def _make_layer(config: BertConfig, index: int, source: str) -> tuple[Node, ...]:
    """Each half is added to what it read, and the sum normalised."""
    name, tensors = f"layers.{index}.", f"encoder.layer.{index}."
    hidden, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads

    def linear(what: str, read: str, tensor: str, inputs: int, outputs: int) -> Linear:
        matrix = Matrix(f"{tensors}{tensor}.weight", inputs, outputs, f"{tensors}{tensor}.bias")
        return Linear(f"{name}{what}", (read,), matrix)

    query, key, value = (
        linear(what, source, f"attention.self.{what}", hidden, hidden) for what in ("query", "key", "value")
    )
    width = hidden // heads
    of = query.name, key.name, value.name
    attend = SelfAttend(f"{name}attention", of, heads, heads, width, 1.0 / math.sqrt(width))
    output = linear("attention_output", attend.name, "attention.output.dense", hidden, hidden)
    middle = Add(f"{name}attention_residual", (output.name, source), hidden)
    normed = _make_norm(config, f"{name}attention_norm", middle.name, f"{tensors}attention.output.LayerNorm")
    up = linear("up", normed.name, "intermediate.dense", hidden, inner)
    activated = Activate(f"{name}activated", (up.name,), inner, "gelu")
    down = linear("down", activated.name, "output.dense", inner, hidden)
    residual = Add(f"{name}residual", (down.name, normed.name), hidden)
    final = _make_norm(config, f"{name}norm", residual.name, f"{tensors}output.LayerNorm")
    return query, key, value, attend, output, middle, normed, up, activated, down, residual, final


def _make_norm(config: BertConfig, name: str, source: str, tensor: str) -> LayerNorm:
    epsilon = config.layer_norm_eps
    return LayerNorm(name, (source,), config.hidden_size, f"{tensor}.weight", f"{tensor}.bias", epsilon)
