"""Attention in the chip's arithmetic: docs/numerics.md, from "Keys, values" to "Mix"."""

import numpy as np

from lpu_backend.arithmetic.functions import tanh_in_range
from lpu_backend.arithmetic.planes import Codes, Planes, multiply_columns, multiply_rows, round_codes, split_planes
from lpu_backend.graph.nodes import Attend
from lpu_backend.runtime.chip_softmax import share
from lpu_backend.runtime.numerics import Floats, Sight
from lpu_backend.runtime.page_pool import CachedSequence


def attend(
    node: Attend, heads: Floats, cached: CachedSequence, sight: Sight, sinks: Floats | None, steps: Floats
) -> Floats:
    """As Numerics.attend. The values' scales go into the probabilities, whose sum divides at the end: a row at a time,
    and exact."""
    tokens, _, head_dim = heads.shape
    kv_heads = node.kv_heads
    queries = _group_queries(split_planes(heads[:, : -2 * kv_heads]), kv_heads)
    codes, scales = _store(round_codes(heads[:, -2 * kv_heads :]), cached, node.layer, sight.first)

    scores = multiply_rows(queries, codes[:kv_heads])
    scores *= scales[:kv_heads]
    scores *= queries.scale
    if node.softcap is not None:
        scores = cap_softly(scores, node.softcap)
    if sight.mask is not None:
        by_token = scores.reshape(kv_heads, tokens, -1, sight.mask.shape[2])
        by_token += sight.mask
    shares, divisor = share(scores, steps, None if sinks is None else _repeat_sinks(sinks, tokens, kv_heads))
    shares *= scales[kv_heads:]
    split = split_planes(shares)
    mixed = multiply_columns(split, codes[kv_heads:])
    divisor *= split.scale
    mixed *= divisor
    by_head = mixed.reshape(kv_heads, tokens, -1, head_dim).swapaxes(0, 1)
    return by_head.reshape(tokens, -1)


def cap_softly(x: Floats, cap: float) -> Floats:
    """TanH(x / cap) * cap, the quotient as a product."""
    capped = tanh_in_range(x * np.float32(1.0 / cap))
    capped *= np.float32(cap)
    return capped


def _group_queries(split: Planes, kv_heads: int) -> Planes:
    """From [tokens, query heads, ...] to [kv_heads, tokens x query heads that share one, ...]."""
    tokens, _, planes, head_dim = split.planes.shape
    grouped = split.planes.reshape(tokens, kv_heads, -1, planes, head_dim).swapaxes(0, 1)
    scale = split.scale.reshape(tokens, kv_heads, -1, 1).swapaxes(0, 1)
    return Planes(grouped.reshape(kv_heads, -1, planes, head_dim), scale.reshape(kv_heads, -1, 1))


def _repeat_sinks(sinks: Floats, tokens: int, kv_heads: int) -> Floats:
    """[query heads] to [kv_heads, tokens x query heads that share one, 1], as queries are grouped."""
    return np.tile(sinks.reshape(kv_heads, 1, -1), (1, tokens, 1)).reshape(kv_heads, -1, 1)


def _store(rounded: Codes, cached: CachedSequence, layer: int, first: int) -> tuple[Floats, Floats]:
    """Put in the tokens' keys and values. Returns the codes from token `first` on, and scales as
    [..., 1, context - first]."""
    cached.store(layer, rounded.codes, rounded.scale[..., 0])
    codes, scales = cached.read(layer, first, cached.length_tokens + len(rounded.codes))
    return codes, scales[:, None]
