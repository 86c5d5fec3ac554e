"""Inputs and expected outputs of the programs without matrix products: softmax, rmsnorm, transposes and gather."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.functions import exp, rsqrt
from lpu_backend.programs.example import Example, Tensors

Array = NDArray[Any]
LANES = 320
TILES = 20
CHANNELS = 4 * LANES
VOCABULARY_TOKENS = 1_000
BATCH_TOKENS = 64


def _draw_fp32(generator: np.random.Generator) -> Array:
    """Normal values, of a scale from a thousandth to a thousand."""
    values: Array = generator.standard_normal((1, LANES)) * 10.0 ** generator.uniform(-3, 3)
    return values.astype(np.float32)


def _draw_softmax(generator: np.random.Generator) -> dict[str, Array]:
    return {"x": _draw_fp32(generator)}


def _expect_softmax(inputs: Tensors) -> dict[str, Array]:
    x = inputs["x"]
    with np.errstate(over="ignore"):
        scaled = exp(x - x.max()) * np.float32(16_384)
    high = scaled.astype(np.float16)
    low = (scaled - high.astype(np.float32)).astype(np.float16)
    root = rsqrt(_sum_fp16(high) + _sum_fp16(low))
    return {"y": scaled * root * root}


def _sum_fp16(x: Array) -> Array:
    """One product of the MXM with weights of 1.0. Up to 320 x 2^14 in steps of 2^-24, so float64 has it exactly."""
    total: Array = x.astype(np.float64).sum(keepdims=True).astype(np.float32)
    return total


def _draw_rmsnorm(generator: np.random.Generator) -> dict[str, Array]:
    return {"x": _draw_fp32(generator), "w": _draw_fp32(generator)}


def _expect_rmsnorm(inputs: Tensors) -> dict[str, Array]:
    x, w = inputs["x"], inputs["w"]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        tiles = _sum_blocks((x * x).reshape(TILES, 4, 4))
        pairs = np.pad(tiles[0::2] + tiles[1::2], (0, 16 - TILES // 2))
        mean = _sum_blocks(pairs.reshape(1, 4, 4)) * np.float32(1 / LANES)
        return {"y": x * rsqrt(mean + np.float32(1e-5)) * w}


def _sum_blocks(blocks: Array) -> Array:
    """Sums of blocks of 4 x 4 lanes: along each axis 0 and 2, 1 and 3, then these two."""
    for _ in range(2):
        blocks = (blocks[..., 0] + blocks[..., 2]) + (blocks[..., 1] + blocks[..., 3])
    return blocks


def lay_out_banks(matrix: Array) -> dict[str, Array]:
    """The input regions of transpose for an int8 matrix [320, 320]: of every 16 rows, 8 in each bank."""
    halves = matrix.reshape(TILES, 2, 8, LANES)
    return {f"x_bank{bank}": halves[:, bank].reshape(-1, LANES) for bank in range(2)}


def _draw_matrix(generator: np.random.Generator) -> Array:
    return generator.integers(-128, 128, (LANES, LANES), dtype=np.int8)


def _expect_transpose(inputs: Tensors) -> dict[str, Array]:
    halves = [inputs[f"x_bank{bank}"].reshape(TILES, 8, LANES) for bank in range(2)]
    return {"y": np.stack(halves, axis=1).reshape(LANES, LANES).T}


def _draw_gather(generator: np.random.Generator) -> dict[str, Array]:
    table = generator.integers(-128, 128, (VOCABULARY_TOKENS, CHANNELS), dtype=np.int8)
    scale = generator.uniform(0.001, 0.01, CHANNELS).astype(np.float32)
    return make_gather(table, scale, generator.integers(0, VOCABULARY_TOKENS, BATCH_TOKENS))


def make_gather(table: Array, scale: Array, ids: Array) -> dict[str, Array]:
    """Input regions of gather from an int8 table [1,000, 1,280], fp32 scales [1,280] and token ids [64]."""
    return {
        "table": table.reshape(-1, LANES),
        "scale": scale.reshape(-1, LANES),
        "ids": np.repeat(ids.astype(np.uint16)[:, None], LANES, axis=1),
    }


def _expect_gather(inputs: Tensors) -> dict[str, Array]:
    table = inputs["table"].reshape(VOCABULARY_TOKENS, CHANNELS)
    rows = table[inputs["ids"][:, 0]].astype(np.float32)
    return {"out": (rows * inputs["scale"].reshape(CHANNELS)).reshape(-1, LANES)}


_EXAMPLES = (
    Example("softmax", 390, _draw_softmax, _expect_softmax),
    Example("rmsnorm", 285, _draw_rmsnorm, _expect_rmsnorm),
    Example("transpose", 219, lambda generator: lay_out_banks(_draw_matrix(generator)), _expect_transpose),
    Example(
        "transpose-sxm",
        436,
        lambda generator: {"x": _draw_matrix(generator)},
        lambda inputs: {"y": inputs["x"].T},
    ),
    Example("gather", 122, _draw_gather, _expect_gather),
)

VXM_EXAMPLES: Mapping[str, Example] = MappingProxyType({example.name: example for example in _EXAMPLES})
