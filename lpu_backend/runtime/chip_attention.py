"""Attention in the chip's arithmetic: docs/numerics.md, from "Keys, values" to "Mix"."""

import numpy as np

from lpu_backend.arithmetic.functions import tanh_in_range
from lpu_backend.arithmetic.planes import Codes, Planes, multiply_columns, multiply_rows, round_codes, split_planes
from lpu_backend.graph.nodes import Attend
from lpu_backend.runtime.chip_softmax import exponentiate, find_divisor
from lpu_backend.runtime.kv_cache import KvCache
from lpu_backend.runtime.numerics import Floats, Sight


def attend(node: Attend, heads: Floats, cache: KvCache, sight: Sight, steps: Floats) -> Floats:
    """As Numerics.attend. The values' scales go into the probabilities, whose sum divides at the end: a row at a time,
    and exact."""
    tokens, _, head_dim = heads.shape
    kv_heads = node.kv_heads
    queries = _group_queries(split_planes(heads[:, : -2 * kv_heads]), kv_heads)
    codes, scales = _store(round_codes(heads[:, -2 * kv_heads :]), cache, node.layer, sight.first)

    scores = multiply_rows(queries, codes[:kv_heads])
    scores *= scales[:kv_heads]
    scores *= queries.scale
    if node.softcap is not None:
        scores = cap_softly(scores, node.softcap)
    if sight.mask is not None:
        by_token = scores.reshape(kv_heads, tokens, -1, sight.mask.shape[2])
        by_token += sight.mask
    shares = exponentiate(scores)
    divisor = find_divisor(shares, steps)
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


def _store(rounded: Codes, cache: KvCache, layer: int, first: int) -> tuple[Floats, Floats]:
    """Put the tokens' keys and values into the cache. Returns the codes from token `first` on, and scales as
    [..., 1, context - first]."""
    end = cache.length_tokens + len(rounded.codes)
    cache.vectors[layer, :, cache.length_tokens : end] = rounded.codes.swapaxes(0, 1)
    cache.scales[layer, :, cache.length_tokens : end] = rounded.scale[..., 0].swapaxes(0, 1)
    return cache.vectors[layer, :, first:end], cache.scales[layer, :, None, first:end]
