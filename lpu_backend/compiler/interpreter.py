"""What each operation of a vector program means, in numpy, for all chips of a group at once.

This is the definition that scheduled programs are compared with, bit for bit. It knows no places and no cycles.
"""

from collections.abc import Callable
from functools import singledispatchmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic.pointwise import apply_binary, apply_unary, convert, immediate
from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.vector_program import (
    AllGather,
    Argument,
    In,
    LaneMax,
    Map,
    MatMul,
    Of,
    Operation,
    PermuteLanes,
    Rows,
    Step,
    StoreRow,
    TransposeTile,
    VectorProgram,
)

Array = NDArray[Any]
Observer = Callable[[Operation, "Interpreter"], None]


class Interpreter:
    """To be filled: `values[name]` [chips, rows, lanes], `tiles[name]` int8 [chips, outputs, inputs, rows, lanes]."""

    def __init__(self, program: VectorProgram, chip: ChipSpec = GROQCHIP1) -> None:
        self._lanes_per_tile = chip.lanes_per_tile
        self._chips = program.chips
        self.values: dict[str, Array] = {
            value.name: np.zeros((program.chips, value.rows, chip.lanes), value.dtype.numpy) for value in program.values
        }
        self.tiles: dict[str, NDArray[np.int8]] = {
            tiles.name: np.zeros((program.chips, tiles.outputs, tiles.inputs, tiles.rows, chip.lanes), np.int8)
            for tiles in program.tiles
        }

    def run(self, program: VectorProgram) -> None:
        """Apply the operations in order."""
        for operation in program.operations:
            self.apply(operation)

    @singledispatchmethod
    def apply(self, operation: Operation) -> None:
        """Apply one operation."""
        raise TypeError(operation)

    @apply.register
    def _map(self, operation: Map) -> None:
        operands = [self._read(rows, operation.rows) for rows in operation.operands]
        results: list[Array] = []
        for step in operation.steps:
            results.append(_compute(step, operands, results))
        for result in operation.results:
            self._write(result.rows, operation.rows, results[result.step])

    @apply.register
    def _lane_max(self, operation: LaneMax) -> None:
        source = self._read(operation.source, operation.rows)
        if operation.lane_map is not None:
            source = self._permute(source, self._read(operation.lane_map, operation.rows))
        by_tile = source.reshape(*source.shape[:2], -1, self._lanes_per_tile)
        largest = np.broadcast_to(by_tile.max(axis=3, keepdims=True), by_tile.shape)
        self._write(operation.destination, operation.rows, largest.reshape(source.shape))

    @apply.register
    def _permute_lanes(self, operation: PermuteLanes) -> None:
        source = self._read(operation.source, operation.rows)
        lane_map = self._read(operation.lane_map._replace(stride=0), operation.rows)
        self._write(operation.destination, operation.rows, self._permute(source, lane_map))

    @apply.register
    def _matmul(self, operation: MatMul) -> None:
        tiles = self.tiles[operation.tiles].astype(np.float64)  # whole numbers far below 2^53
        source = self.values[operation.source].astype(np.float64)
        for vector, destination in zip(operation.vectors, operation.destinations, strict=True):
            for output in range(operation.outputs or tiles.shape[1]):
                total = np.zeros((self._chips, tiles.shape[3]))
                for place, row in enumerate(vector):
                    tile = tiles[:, output, 0 if operation.shared else place]
                    total += np.matmul(tile, source[:, row, :, None])[..., 0]
                sums = np.zeros((self._chips, source.shape[2]), np.int64)
                sums[:, : tiles.shape[3]] = total
                self.values[destination.value][:, destination.at(output)] = sums.astype(np.int32)

    @apply.register
    def _store_row(self, operation: StoreRow) -> None:
        row = self.values[operation.source.value][:, operation.source.start]
        self.tiles[operation.tiles][:, operation.output, operation.input, operation.row] = row.view(np.int8)

    @apply.register
    def _transpose_tile(self, operation: TransposeTile) -> None:
        source = self.tiles[operation.source][:, operation.source_output, operation.source_input]
        destination = self.tiles[operation.destination][:, operation.output, operation.input]
        destination[:] = 0
        destination[:, :, : source.shape[1]] = source.swapaxes(1, 2)[:, : destination.shape[1]]

    @apply.register
    def _all_gather(self, operation: AllGather) -> None:
        source, destination = self.values[operation.source], self.values[operation.destination]
        width = self._chips * operation.rows
        for block in range(operation.blocks):
            rows = source[:, block * operation.rows : (block + 1) * operation.rows]
            destination[:, block * width : (block + 1) * width] = rows.reshape(1, width, -1)

    def _read(self, rows: Rows, count: int) -> Array:
        return self.values[rows.value][:, [rows.at(place) for place in range(count)]]

    def _write(self, rows: Rows, count: int, results: Array) -> None:
        value = self.values[rows.value]
        shape = (self._chips, count, value.shape[2])
        value[:, [rows.at(place) for place in range(count)]] = np.broadcast_to(results, shape).view(value.dtype)

    def _permute(self, source: Array, lane_map: Array) -> Array:
        return np.take_along_axis(source, lane_map.astype(np.int64), axis=2)


def _compute(step: Step, operands: list[Array], results: list[Array]) -> Array:
    def take(argument: Argument) -> Array:
        if isinstance(argument, In):
            return operands[argument.operand].view(step.dtype.numpy)
        if isinstance(argument, Of):
            return results[argument.step].view(step.dtype.numpy)
        return immediate(argument.bits, step.dtype)

    arguments = [take(argument) for argument in step.arguments]
    if step.op == "Convert":
        assert step.to is not None  # noqa: S101  a Convert has it
        return convert(step.to, arguments[0])
    if len(arguments) == 1:
        return apply_unary(step.op, step.dtype, arguments[0])  # type: ignore[arg-type]  # by its number of arguments
    return apply_binary(step.op, step.dtype, *arguments)  # type: ignore[arg-type]
