"""Attention among the tokens of a step, whole tensors at once. docs/numerics.md, "Attention within a step"."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import exp, rsqrt
from lpu_backend.arithmetic.grids import CACHE, find_magnitudes
from lpu_backend.arithmetic.planes import multiply_rows, split_planes
from lpu_backend.arithmetic.whole_sums import sum_by_digits, sum_counts
from lpu_backend.graph.function_nodes import SelfAttend

Floats = NDArray[np.float32]

SHARE_STEPS = np.float32(2.0**18)


def make_mask(node: SelfAttend, tokens: int, given: Floats | None) -> Floats:
    """[tokens, tokens], added to scores: what is given, and -inf for tokens that follow if it is causal."""
    mask = np.zeros((tokens, tokens), np.float32) if given is None else given.astype(np.float32)
    if node.causal:
        mask = mask + np.where(np.tri(tokens, dtype=np.bool_), np.float32(0.0), np.float32(-np.inf))
    return mask


def attend_within(node: SelfAttend, query: Floats, key: Floats, value: Floats, mask: Floats) -> Floats:
    """[tokens, heads x head_dim] each; the result is as the queries."""
    tokens, group = len(query), node.query_heads // node.kv_heads
    keys, key_scales = _round(_split_heads(key, node.kv_heads))
    values, value_scales = _round(_split_heads(value, node.kv_heads))
    if node.scale != 1.0:
        key_scales = key_scales * np.float32(node.scale)
    grouped = _split_heads(query, node.query_heads).reshape(node.kv_heads, group, tokens, -1)
    planes = split_planes((grouped * key_scales[:, None]).reshape(node.kv_heads, group * tokens, -1))
    scores = (multiply_rows(planes, keys) * planes.scale).reshape(node.kv_heads, group, tokens, tokens) + mask

    coarse = np.rint(scores.max(axis=-1, keepdims=True) * np.float32(0.25)).clip(-128.0, 127.0).astype(np.float32)
    shares = exp(scores - coarse * np.float32(4.0))
    counts = np.rint(shares * SHARE_STEPS).astype(np.int32)
    root = rsqrt(sum_counts(counts))
    mixed = sum_by_digits(counts, values[:, None]) * (root * root) * value_scales[:, None]
    result: Floats = mixed.reshape(node.query_heads, tokens, -1).swapaxes(0, 1).reshape(tokens, -1)
    return result


def _split_heads(rows: Floats, heads: int) -> Floats:
    """[tokens, heads x head_dim] to [heads, tokens, head_dim]."""
    return rows.reshape(len(rows), heads, -1).swapaxes(0, 1)


def _round(heads: Floats) -> tuple[Floats, Floats]:
    """Codes as `heads`, and scales [heads, 1, head_dim]: one for each channel, over all tokens."""
    magnitudes = find_magnitudes(np.ascontiguousarray(heads.swapaxes(1, 2))).swapaxes(1, 2)
    scale, steps_per_unit = CACHE.choose(np.ascontiguousarray(magnitudes))
    return np.rint(heads * steps_per_unit), scale
