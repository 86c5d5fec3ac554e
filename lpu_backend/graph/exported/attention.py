"""Attention in a torch program: as one operation, or written out as products and a softmax."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.graph.exported.building import GraphBuilder, to_floats
from lpu_backend.graph.exported.values import Known, RefusalError, Rows, Scores
from lpu_backend.graph.exported.views import View, read_heads, write_heads
from lpu_backend.graph.function_nodes import Affine, SelfAttend

_HIDDEN = -1e30
"""What is added to a score to hide it is this or less; checkpoints' code has the least float, or -inf."""


def attend_once(graph: GraphBuilder, name: str, arguments: dict[str, Any]) -> Rows:
    """scaled_dot_product_attention. RefusalError for dropout or masks that depend on inputs or heads."""
    query, key, value = (arguments[each] for each in ("query", "key", "value"))
    if not all(isinstance(each, Rows) for each in (query, key, value)):
        raise RefusalError("attention of what is no value of channels")
    if arguments["dropout_p"]:
        raise RefusalError("dropout in attention: export the model after eval()")
    scores = begin_scores(graph, query, key, swapped=False)
    scale = arguments["scale"]
    scores = replace(scores, scale=1.0 / math.sqrt(scores.head_dim) if scale is None else scale)
    if arguments["attn_mask"] is not None:
        scores = add_mask(scores, arguments["attn_mask"])
    return mix_values(graph, name, scores, value, causal=bool(arguments["is_causal"]))


def begin_scores(graph: GraphBuilder, query: Rows, key: Rows, *, swapped: bool = True) -> Scores:
    """Queries by keys, whose last two axes are exchanged if `swapped`."""
    query, query_factor = _look_through(graph, query)
    key, key_factor = _look_through(graph, key)
    tokens = graph.tokens_of(query.name)
    view: View = (*key.view[:-2], key.view[-1], key.view[-2]) if swapped else key.view
    of_query, of_key = read_heads(query.view, tokens), read_heads(view, graph.tokens_of(key.name))
    if graph.tokens_of(key.name) != tokens or of_query.copies != 1 or of_key.head_dim != of_query.head_dim:
        raise RefusalError("attention of queries and keys of different numbers of tokens or channels")
    return Scores(
        query.name,
        key.name,
        of_query.heads,
        of_key.heads,
        of_query.head_dim,
        tokens,
        query_factor * key_factor,
    )


def add_mask(scores: Scores, mask: Any) -> Scores:
    """A constant mask, the same for all heads: of booleans (whether a key is seen) or of numbers that are added."""
    if not isinstance(mask, Known):
        raise RefusalError("a mask that depends on the inputs")
    if scores.is_softmax or scores.mask is not None:
        raise RefusalError("a second mask")
    return replace(scores, mask=_read_mask(mask.tensor, scores.tokens))


def mix_values(graph: GraphBuilder, name: str, scores: Scores, value: Rows, *, causal: bool = False) -> Rows:
    """The scores' softmax by values: the attention's node."""
    of_value = read_heads(value.view, graph.tokens_of(value.name))
    if (of_value.heads, of_value.head_dim) != (scores.kv_heads, scores.head_dim):
        raise RefusalError("attention of keys and values of different numbers of heads or channels")
    mask = scores.mask
    is_causal = causal or _is_causal(mask, scores.tokens)
    stored = None
    if mask is not None and mask.any() and not (is_causal and not causal):
        stored = graph.name(f"{name}_mask")
        graph.tensors[stored] = mask
    node = SelfAttend(
        name,
        (scores.query, scores.key, value.name),
        scores.heads,
        scores.kv_heads,
        scores.head_dim,
        scores.scale,
        is_causal,
        stored,
    )
    return graph.add(node, scores.tokens, write_heads(len(value.view), scores.heads, scores.head_dim, scores.tokens))


def _look_through(graph: GraphBuilder, value: Rows) -> tuple[Rows, float]:
    """Factors before the product of queries and keys are factors of the scores."""
    node, factor = graph.nodes.get(value.name), 1.0
    while isinstance(node, Affine) and node.offset == 0.0:
        factor *= node.factor
        value = Rows(node.inputs[0], value.view)
        node = graph.nodes.get(value.name)
    return value, factor


def _read_mask(tensor: Any, tokens: int) -> NDArray[np.float32]:
    shape = (*(1,) * max(2 - tensor.ndim, 0), *tensor.shape)
    whole = tensor.reshape(shape).expand(*shape[:-2], tokens, tokens).reshape(-1, tokens, tokens)
    if not (whole == whole[:1]).all():
        raise RefusalError("a mask that differs between heads")
    rows = to_floats(whole[0])
    is_boolean = not tensor.dtype.is_floating_point
    return np.where(rows != 0, np.float32(0.0), np.float32(-np.inf)) if is_boolean else rows


def _is_causal(mask: NDArray[np.float32] | None, tokens: int) -> bool:
    if mask is None or tokens == 1:
        return False
    seen = np.tri(tokens, dtype=np.bool_)
    return bool((mask[seen] == 0.0).all() and (mask[~seen] <= _HIDDEN).all())
