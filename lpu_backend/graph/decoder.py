"""A whole decoder around the layers of its family."""

from collections.abc import Callable

from lpu_backend.graph.decoder_config import DecoderConfig
from lpu_backend.graph.layer_nodes import Attention, LayerNodes
from lpu_backend.graph.nodes import Embed, Linear, Matrix, ModelGraph, Node, RmsNorm, SoftCap

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
LM_HEAD = "lm_head.weight"

AddLayer = Callable[[LayerNodes, str], str]
"""Adds a layer's nodes that read the value of this name; returns the name of what the layer gives."""


def make_decoder(
    config: DecoderConfig,
    family: str,
    add_layer: AddLayer,
    *,
    embedding_factor: float = 1.0,
    norm_offset: float = 0.0,
    softcap: float | None = None,
) -> ModelGraph:
    """Embedding, layers, final norm and output matrix. Raises CheckpointError for an unsupported rotary scheme."""
    embed = Embed("embed", EMBEDDING, config.hidden_size, embedding_factor)
    source, layers = embed.name, []
    for index in range(config.num_hidden_layers):
        layer = LayerNodes(config, index)
        source = add_layer(layer, source)
        layers.append(tuple(layer.nodes))
    return ModelGraph(
        family=family,
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        context_window=config.max_position_embeddings,
        embed=embed,
        layers=tuple(layers),
        head=_make_head(config, source, norm_offset, softcap),
        rope=config.make_rope_table(),
    )


def make_pre_norm_decoder(config: DecoderConfig, family: str, attention: Attention, add_mlp: AddLayer) -> ModelGraph:
    """The common form: each half of a layer reads a norm of the residual and is added to it."""

    def add_layer(layer: LayerNodes, source: str) -> str:
        attended = layer.attend(layer.norm("attention_norm", source, "input_layernorm"), attention)
        middle = layer.add("attention_residual", source, attended)
        normed = layer.norm("mlp_norm", middle, "post_attention_layernorm")
        return layer.add("residual", middle, add_mlp(layer, normed))

    return make_decoder(config, family, add_layer)


def _make_head(config: DecoderConfig, source: str, norm_offset: float, softcap: float | None) -> tuple[Node, ...]:
    hidden, vocabulary = config.hidden_size, config.vocab_size
    norm = RmsNorm("final_norm", (source,), hidden, hidden, FINAL_NORM, config.rms_norm_eps, norm_offset)
    table = EMBEDDING if config.tie_word_embeddings else LM_HEAD
    logits = Linear("logits", (norm.name,), Matrix(table, hidden, vocabulary))
    if softcap is None:
        return norm, logits
    return norm, logits, SoftCap("capped_logits", (logits.name,), vocabulary, softcap)
