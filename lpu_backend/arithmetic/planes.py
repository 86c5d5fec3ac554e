"""Sums of products that are exact whatever the order: int8 weights by activations of two int8 planes.

An activation vector x is `scale` (128 high + low), high and low whole numbers that int8 holds: two passes of the MXM,
whose int32 sums are then put together as fp32. Here the sums are BLAS products of floats that hold whole numbers: as
long as no partial sum can pass 2^24 (2^53 in float64) no addition rounds, so no library's order of additions is seen.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.grids import ACTIVATIONS, CACHE, CODE_LIMIT, find_magnitudes

Floats = NDArray[np.float32]

_EXACT_SUM = 2**24
_EXACT_WIDTH = _EXACT_SUM // CODE_LIMIT**2
"""Inputs whose products' sum float32 holds, whatever codes and planes are: 1,040."""
_LEAST_MAGNITUDE = np.float32(2.0**-60)
"""Stands for a largest magnitude of weights below it, zero for one: its reciprocal is still far from overflow."""
_ROUND_TO_128 = np.array(1.5 * 2**30, np.float32)
"""Added and taken away again, it leaves the nearest multiple of 128, ties to even: fp32 has no finer ones up there."""
_SQUARE_BITS = np.array(14, np.int32)
_SQUARE_MASK = np.array((1 << 14) - 1, np.int32)
_SQUARE_HIGH = np.array(1 << 14, np.float32)
_CODE_ROWS = 256
_BLOCK_OUTPUTS = 32
"""So narrow a block of weights is read once, in order, by the product of one token's two planes."""


class Planes(NamedTuple):
    """Vectors [..., width] as `planes` [..., 2, width], 128 high and then low, and `scale` [..., 1].

    The chip's passes have high itself; times a power of two its sums are as exact, and need no step to join them.
    """

    planes: Floats
    scale: Floats


class Codes(NamedTuple):
    """Vectors [..., width] as one plane of the same shape, -127 to 127, and `scale` [..., 1]."""

    codes: Floats
    scale: Floats


def split_planes(x: Floats) -> Planes:
    """Vectors [..., width] on the activations' grid, by fp32 operations of the VXM alone."""
    scale, steps_per_unit = ACTIVATIONS.choose(find_magnitudes(x))
    planes = np.empty((*x.shape[:-1], 2, x.shape[-1]), np.float32)
    high, low = planes[..., 0, :], planes[..., 1, :]
    np.multiply(x, steps_per_unit, out=low)
    np.add(low, _ROUND_TO_128, out=high)
    high -= _ROUND_TO_128
    low -= high
    np.rint(low, out=low)
    return Planes(planes, scale)


def round_codes(x: Floats) -> Codes:
    """Vectors [..., width], keys or values, on the cache's grid."""
    scale, steps_per_unit = CACHE.choose(find_magnitudes(x))
    codes: Floats = x * steps_per_unit
    np.rint(codes, out=codes)
    return Codes(codes, scale)


def sum_squares(x: Planes) -> Floats:
    """Sum of the squares of 128 high + low, [..., 1], in fp32: of their upper and their lower 14 bits, each whole.

    Both sums are below 2^31 for widths to 131,072.
    """
    squares = (x.planes[..., 0, :] + x.planes[..., 1, :]).astype(np.int32)
    squares *= squares
    lower = np.add.reduce(squares & _SQUARE_MASK, axis=-1, keepdims=True, dtype=np.int32)
    squares >>= _SQUARE_BITS
    total: Floats = np.add.reduce(squares, axis=-1, keepdims=True, dtype=np.int32).astype(np.float32)
    total *= _SQUARE_HIGH
    total += lower.astype(np.float32)
    return total


def sum_counts(shares: Floats, steps: Floats, others: Floats | None = None) -> Floats:
    """Sum over the last axis, kept, of numbers from 0 in whole `steps`, and of `others` [..., 1]: exact, then rounded
    to fp32."""
    counts = shares * steps
    np.rint(counts, out=counts)
    total = np.add.reduce(counts, axis=-1, keepdims=True, dtype=np.float64)
    if others is not None:
        total += np.rint(others * steps)
    return total.astype(np.float32)


def multiply_rows(x: Planes, codes: Floats) -> Floats:
    """Steps times the rows of `codes`: [batch, m, width] by [batch, n, width] to [batch, m, n], no scales."""
    return _join(x, _flatten(x) @ codes.swapaxes(-1, -2))


def multiply_columns(x: Planes, codes: Floats) -> Floats:
    """The same by columns of any number of rows: [batch, m, width] by [batch, width, n] to [batch, m, n]."""
    width = codes.shape[1]
    if width <= _EXACT_WIDTH:
        return _join(x, _flatten(x) @ codes)
    sums = np.zeros((len(codes), 2 * x.planes.shape[1], codes.shape[2]))
    for start in range(0, width, _EXACT_WIDTH):
        part = slice(start, start + _EXACT_WIDTH)
        sums += _flatten(x)[..., part] @ codes[:, part]
    return _join(x, sums.astype(np.float32))


def multiply_codes(planes: NDArray[np.float64], codes: NDArray[np.int8]) -> Floats:
    """Steps times the rows of codes of any width: [tokens, 2, k] by [n, k] to [tokens, n], no scales."""
    sums = (planes @ codes.astype(np.float64).T).astype(np.float32)
    joined: Floats = sums[:, 0] + sums[:, 1]
    return joined


def are_sums_exact(codes: NDArray[np.int8]) -> bool:
    """Whether fp32 holds every sum of a plane by a row of codes [n, k]."""
    ends = range(_CODE_ROWS, len(codes) + _CODE_ROWS, _CODE_ROWS)
    parts = (np.abs(codes[end - _CODE_ROWS : end].astype(np.int32)) for end in ends)
    return all(int(part.sum(axis=1).max()) * CODE_LIMIT <= _EXACT_SUM for part in parts)


def _flatten(x: Planes) -> Floats:
    *batch, rows, planes, width = x.planes.shape
    return x.planes.reshape(*batch, rows * planes, width)


def _join(x: Planes, sums: Floats) -> Floats:
    """[..., 2 m, n] to [..., m, n]."""
    apart = sums.reshape(*x.planes.shape[:-1], -1)
    joined: Floats = apart[..., 0, :] + apart[..., 1, :]
    return joined


class PlaneWeights:
    """int8 weights of n outputs and k inputs with a scale each output: the Linear of two planes."""

    def __init__(self, rows: Floats) -> None:
        """`rows` [n, k]: the weights of output n; the largest of them gets the code 127 or -127."""
        codes, self._scales = quantise_rows(rows)
        self._outputs, inputs = rows.shape
        self._tiles = _choose_tiles(codes)
        count = -(-self._outputs // _BLOCK_OUTPUTS)
        padded = np.zeros((count * _BLOCK_OUTPUTS, inputs), np.float32)
        padded[: self._outputs] = codes
        self._blocks = np.ascontiguousarray(padded.reshape(count, _BLOCK_OUTPUTS, inputs).swapaxes(1, 2))

    def multiply(self, x: Planes) -> Floats:
        """[tokens, k] to [tokens, n]: the whole sums, times the output's scale, times the token's."""
        tokens = len(x.planes)
        sums = self._sum(x.planes.reshape(2 * tokens, -1)).reshape(len(self._blocks), tokens, 2, _BLOCK_OUTPUTS)
        by_token = sums.swapaxes(0, 1)
        outputs = np.add(by_token[:, :, 0], by_token[:, :, 1], order="C")
        outputs = outputs.reshape(tokens, -1)[:, : self._outputs]
        outputs *= self._scales
        outputs *= x.scale
        return outputs

    def _sum(self, planes: Floats) -> Floats:
        """[rows, k] to [blocks, rows, outputs of a block]."""
        if len(self._tiles) > 1:
            sums = np.zeros((len(self._blocks), len(planes), _BLOCK_OUTPUTS))
            for part in self._tiles:
                sums += planes[:, part] @ self._blocks[:, part]
            return sums.astype(np.float32)
        if len(planes) == 2 and not _prefers_matrices():
            return _multiply_apart(planes, self._blocks)
        together: Floats = planes @ self._blocks
        return together


def _multiply_apart(planes: Floats, blocks: Floats) -> Floats:
    """Plane by plane of each block, of which the second finds the weights in the cache."""
    sums: Floats = planes[None, :, None] @ blocks[:, None]
    return sums[:, :, 0]


def quantise_rows(rows: Floats) -> tuple[Floats, Floats]:
    """Codes [n, k] of magnitude 127 at most, and scales [n], of weights [n, k]."""
    largest = np.abs(rows).max(axis=1, initial=_LEAST_MAGNITUDE)
    scales = largest / np.float32(CODE_LIMIT)
    return np.rint(rows / scales[:, None]), scales


def _choose_tiles(codes: Floats) -> list[slice]:
    """The fewest equal parts of the inputs within which no sum of |code| x 127 passes what float32 holds."""
    inputs = codes.shape[1]
    magnitudes = np.abs(codes)
    for count in range(1, inputs + 1):
        bounds = [index * inputs // count for index in range(count + 1)]
        tiles = [slice(start, end) for start, end in pairwise(bounds)]
        if all(
            np.add.reduce(magnitudes[:, part], axis=1, dtype=np.float64).max() * CODE_LIMIT <= _EXACT_SUM
            for part in tiles
        ):
            return tiles
    raise AssertionError("a tile of one input is always exact")


@cache
def _prefers_matrices() -> bool:
    """Whether products of both planes at once are faster here than of one after the other: the sums are the same."""
    blocks, planes = np.ones((16, 256, _BLOCK_OUTPUTS), np.float32), np.ones((2, 256), np.float32)
    together = min(_time_ns(lambda: planes @ blocks) for _ in range(9))
    return together <= min(_time_ns(lambda: _multiply_apart(planes, blocks)) for _ in range(9))


def _time_ns(run: Callable[[], Floats]) -> int:
    began_ns = perf_counter_ns()
    run()
    return perf_counter_ns() - began_ns
