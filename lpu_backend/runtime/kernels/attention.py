"""Attention over pages, a query head at a time: docs/numerics.md, from "Keys, values" to "Mix".

`codes` and `scales` are those of one layer of a pool, flat; `heads` are its key heads and value heads together. Tokens
are counted from the beginning of the page that holds the first token in sight.
"""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.runtime.kernel_ops import LANES, Whole
from lpu_backend.runtime.kernels.functions import Wide, exp, exp_all, rsqrt
from lpu_backend.runtime.kernels.jit import compiled
from lpu_backend.runtime.kernels.machine_code import add_block, bits_to_float32, float32_to_bits, multiply_block
from lpu_backend.runtime.kernels.rows import (
    Floats,
    Numbers,
    choose_scale,
    round_whole,
    split_row,
    split_row_apart,
)
from lpu_backend.runtime.page_pool import PAGE_TOKENS

Codes = NDArray[np.int8]
Pages = NDArray[np.int32]
Sums = NDArray[np.int32]

_KEY_STEP = 2 * PAGE_TOKENS
_ZERO = np.float32(0.0)
_QUARTER, _FOUR = np.float32(0.25), np.float32(4.0)
_LEAST_COARSE, _MOST_COARSE = np.float32(-128.0), np.float32(127.0)
_PLANE = np.float32(128.0)
_MAGNITUDE_BITS = np.int32(0x7FFFFFFF)
_EXACT_TOKENS = 1040
"""So many products of a code and a t fit int32, and of a code and a plane 2^24: so long planes need not be apart."""


@compiled
def find_largest(x: Floats) -> np.float32:
    """As whole numbers: a sign and a magnitude, turned into two's complement, are in the order of the numbers."""
    largest = np.int32(-(2**31))
    for i in range(len(x)):
        bits = float32_to_bits(x[i])
        largest = max(largest, np.int32(bits ^ ((bits >> 31) & _MAGNITUDE_BITS)))
    return bits_to_float32(np.int32(largest ^ ((largest >> 31) & _MAGNITUDE_BITS)))


@compiled
def find_coarse(largest: np.float32) -> np.float32:
    """4 z of a row's largest score, which is far below 2^24."""
    return min(max(round_whole(largest * _QUARTER), _LEAST_COARSE), _MOST_COARSE) * _FOUR


@compiled
def find_divisor(count: int, steps: np.float32) -> np.float32:
    """d of a whole number of counts."""
    root = rsqrt(np.float32(count))
    return root * root * steps


@compiled
def count_shares(shares: Floats, steps: np.float32) -> int:
    """The sum of exponentials, in whole steps each."""
    count = 0
    for i in range(len(shares)):
        count += int(round_whole(shares[i] * steps))
    return count


@compiled
def store_key(x: Floats, place: int, slot: int, codes: Codes) -> np.float32:
    """Put it into the page that begins at `place`, a step being two channels of all tokens. Returns the scale."""
    scale, steps_per_unit = choose_scale(x)
    for channel in range(len(x)):
        code = np.int8(round_whole(x[channel] * steps_per_unit))
        codes[place + channel // 2 * _KEY_STEP + slot * 2 + channel % 2] = code
    return scale


@compiled
def store_value(x: Floats, place: int, slot: int, codes: Codes) -> np.float32:
    """The same; a step is two tokens' channels."""
    scale, steps_per_unit = choose_scale(x)
    first = place + slot // 2 * 2 * len(x) + slot % 2
    for channel in range(len(x)):
        codes[first + 2 * channel] = np.int8(round_whole(x[channel] * steps_per_unit))
    return scale


@compiled
def score_keys(
    query: Floats,
    head: int,
    heads: int,
    pages: Pages,
    codes: Codes,
    scales: Floats,
    numbers: Numbers,
    sums: Sums,
    scores: Floats,
) -> None:
    """Of all tokens of the pages, in sight or not."""
    query_scale = split_row(query, numbers[: len(query)])
    for index in range(len(pages)):
        place = (pages[index] * heads + head) * PAGE_TOKENS
        multiply_block(codes, place * len(query), 0, _KEY_STEP, numbers, 0, 0, len(query) // 2, sums, 0, 0)
        part, page_scales = scores[index * PAGE_TOKENS :], scales[place:]
        for token in range(PAGE_TOKENS):
            part[token] = np.float32(sums[token]) * page_scales[token] * query_scale


@compiled
def share(scores: Floats, steps: np.float32, sink: Floats, wide: Wide, bits: Whole) -> np.float32:
    """Scores become exponentials; returns one over their sum and that of the sink, if there is one."""
    largest = find_largest(scores)
    if len(sink):
        largest = max(largest, sink[0])
    coarse = find_coarse(largest)
    exp_all(scores, coarse, wide, bits)
    count = count_shares(scores, steps)
    if len(sink):
        count += int(round_whole(exp(sink[0] - coarse) * steps))
    return find_divisor(count, steps)


@compiled
def mix_values(
    shares: Floats,
    head: int,
    heads: int,
    pages: Pages,
    codes: Codes,
    scales: Floats,
    numbers: Numbers,
    sums: Sums,
    result: Floats,
) -> np.float32:
    """Values by exponentials, as whole sums in `result`; returns the scale. `shares` are of all tokens of the pages,
    0 where not in sight, and are overwritten."""
    for index in range(len(pages)):
        part, page_scales = shares[index * PAGE_TOKENS :], scales[(pages[index] * heads + head) * PAGE_TOKENS :]
        for token in range(PAGE_TOKENS):
            part[token] = part[token] * page_scales[token] if part[token] > _ZERO else _ZERO
    width, tokens = len(result), len(shares)
    room = (width + LANES - 1) // LANES * LANES
    highs, lows = sums[:room], sums[room : 2 * room]
    if tokens <= _EXACT_TOKENS:
        scale = split_row(shares, numbers[:tokens])
        _add_values(numbers[:tokens], head, heads, pages, codes, width, highs)
        for channel in range(width):
            result[channel] = np.float32(highs[channel])
        return scale
    scale = split_row_apart(shares, numbers[:tokens], numbers[tokens : 2 * tokens])
    _add_values(numbers[:tokens], head, heads, pages, codes, width, highs)
    _add_values(numbers[tokens : 2 * tokens], head, heads, pages, codes, width, lows)
    for channel in range(width):
        result[channel] = np.float32(highs[channel]) * _PLANE + np.float32(lows[channel])
    return scale


@compiled
def _add_values(numbers: Numbers, head: int, heads: int, pages: Pages, codes: Codes, width: int, totals: Sums) -> None:
    totals[:] = 0
    for index in range(len(pages)):
        place, first = (pages[index] * heads + head) * PAGE_TOKENS * width, index * PAGE_TOKENS
        for channel in range(0, width, LANES):
            code = place + 2 * channel
            add_block(codes, code, 0, 2 * width, numbers, first, 0, PAGE_TOKENS // 2, totals, channel, 0)
