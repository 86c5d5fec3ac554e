"""Inputs and expected outputs of the matrix programs, of vector-add and of the programs for several chips."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.programs.exact_sums import multiply_exactly
from lpu_backend.programs.example import Example, Tensors
from lpu_backend.programs.tiled_weights import (
    INPUTS,
    OUTPUTS,
    TILE,
    lay_out_fp16,
    lay_out_int8,
    lay_out_tile,
    number,
    restore,
)

Array = NDArray[Any]
LayOut = Callable[[Array], dict[str, Array]]
CHIPS = 8


def _draw_int8(generator: np.random.Generator, *shape: int) -> Array:
    return generator.integers(-128, 128, shape, dtype=np.int8)


def _draw_fp16(generator: np.random.Generator, *shape: int) -> Array:
    return generator.standard_normal(shape).astype(np.float16)


def _draw_pair(generator: np.random.Generator) -> dict[str, Array]:
    return {"x": _draw_int8(generator, 1, TILE), "y": _draw_int8(generator, 1, TILE)}


def _add_saturating(inputs: Tensors) -> dict[str, Array]:
    total = inputs["x"].astype(np.int32) + inputs["y"].astype(np.int32)
    return {"z": np.clip(total, -128, 127).astype(np.int8)}


def make_matvec(weights: Array, x: Array, lay_out: LayOut) -> dict[str, Array]:
    """Input regions of a matrix program from weights [outputs, inputs] and x [inputs]."""
    return {**lay_out(weights), "x": x.reshape(-1, TILE)}


def _draw_matvec(
    draw: Callable[..., Array], shape: tuple[int, int], lay_out: LayOut, generator: np.random.Generator
) -> dict[str, Array]:
    return make_matvec(draw(generator, *shape), draw(generator, shape[1]), lay_out)


def _multiply_int8(shape: tuple[int, int], lay_out: LayOut, inputs: Tensors) -> dict[str, Array]:
    weights = restore(inputs, lay_out(number(shape)), shape).astype(np.int32)
    return {"y": (weights @ inputs["x"].ravel().astype(np.int32)).reshape(-1, TILE)}


def _multiply_fp16(shape: tuple[int, int], lay_out: LayOut, inputs: Tensors) -> dict[str, Array]:
    weights = restore(inputs, lay_out(number(shape)), shape)
    tiles = [weights[:, start : start + TILE] for start in range(0, shape[1], TILE)]
    total = multiply_exactly(tiles[0], inputs["x"][0])
    for tile, x in zip(tiles[1:], inputs["x"][1:], strict=True):
        total = total + multiply_exactly(tile, x)
    return {"y": total.reshape(-1, TILE)}


def _draw_vectors(generator: np.random.Generator) -> dict[str, Array]:
    draws = generator.standard_normal((CHIPS, 1, TILE)) * 10.0 ** generator.integers(-30, 30, (CHIPS, 1, TILE))
    return {f"v{chip}": draw.astype(np.float32) for chip, draw in enumerate(draws)}


def _sum_in_pairs(inputs: Tensors) -> dict[str, Array]:
    vectors = [inputs[f"v{chip}"] for chip in range(CHIPS)]
    while len(vectors) > 1:
        vectors = [left + right for left, right in zip(vectors[::2], vectors[1::2], strict=True)]
    return {f"sum{chip}": vectors[0] for chip in range(CHIPS)}


def _matvec_int8(name: str, cycles: int, shape: tuple[int, int], lay_out: LayOut) -> Example:
    make_inputs = partial(_draw_matvec, _draw_int8, shape, lay_out)
    return Example(name, cycles, make_inputs, partial(_multiply_int8, shape, lay_out))


def _matvec_fp16(name: str, cycles: int, shape: tuple[int, int], lay_out: LayOut) -> Example:
    make_inputs = partial(_draw_matvec, _draw_fp16, shape, lay_out)
    return Example(name, cycles, make_inputs, partial(_multiply_fp16, shape, lay_out))


MXM_EXAMPLES: Mapping[str, Example] = {
    example.name: example
    for example in (
        Example("vector-add", 30, _draw_pair, _add_saturating),
        _matvec_int8("matvec-int8-320", 93, (TILE, TILE), lay_out_tile),
        _matvec_int8("matvec-int8-1280x960", 141, (OUTPUTS, INPUTS), lay_out_int8),
        _matvec_fp16("matvec-fp16-320", 103, (TILE, TILE), lay_out_tile),
        _matvec_fp16("matvec-fp16-1280x960", 208, (OUTPUTS, INPUTS), lay_out_fp16),
        Example("send-and-add", 592, _draw_pair, _add_saturating),
        Example("all-reduce-8", 682, _draw_vectors, _sum_in_pairs),
    )
}
