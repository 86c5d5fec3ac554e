"""Making a vector program piece by piece."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.vector_program import (
    Argument,
    In,
    Map,
    Of,
    Operation,
    Result,
    Rows,
    Scope,
    Step,
    Tiles,
    Value,
    VectorProgram,
)
from lpu_backend.isa.instructions import BinaryOp, UnaryOp
from lpu_backend.isa.operands import DataType, Immediate

Data = Callable[[int], NDArray[Any]]
"""The data of a constant for a layer: [chips, rows, lanes] of a value, [chips, outputs, inputs, rows, lanes] of tiles.
The first axis is 1 where all chips have the same."""


class ProgramBuilder:
    """Values, tiles and operations in order, and what gives the constants their data."""

    def __init__(self, name: str, chips: int, chip: ChipSpec) -> None:
        self.name, self.chips = name, chips
        self.lanes, self.lanes_per_tile, self.chip_tiles = chip.lanes, chip.lanes_per_tile, chip.tiles
        self.alus = chip.vxm_alus_per_lane
        self.values: dict[str, Value] = {}
        self.tiles: dict[str, Tiles] = {}
        self.data: dict[str, Data] = {}
        self._operations: list[Operation] = []
        self._names: dict[str, int] = {}

    def local(self, name: str, dtype: DataType, rows: int, *, spread: int = 1) -> str:
        """A temporary value. Its name."""
        return self._declare(Value(self.unique(name), dtype, rows, spread=min(spread, max(rows, 1))))

    def hold(self, value: Value) -> str:
        """A value that is given from outside, or passes from part to part: declared once."""
        if value.name not in self.values:
            self._declare(value)
        return value.name

    def constant(self, name: str, dtype: DataType, rows: int, data: Data, scope: Scope = "layer") -> str:
        """A constant; of scope "model" it is made once, by whoever asks first."""
        if scope == "model" and name in self.values:
            return name
        self.data[name] = data
        return self._declare(Value(name, dtype, rows, "constant", scope))

    def weights(self, tiles: Tiles, data: Data | None = None) -> str:
        """Tiles, with data if they are constant."""
        if tiles.name not in self.tiles:
            self.tiles[tiles.name] = tiles
            if data is not None:
                self.data[tiles.name] = data
        return tiles.name

    def add(self, operation: Operation) -> None:
        self._operations.append(operation)

    def unique(self, name: str) -> str:
        """The name, with a number from its second use on."""
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"

    def finish(self) -> VectorProgram:
        return VectorProgram(
            self.name, self.chips, tuple(self.values.values()), tuple(self.tiles.values()), tuple(self._operations)
        )

    def _declare(self, value: Value) -> str:
        if value.name in self.values:
            raise AssertionError(f"{value.name} is declared twice")
        self.values[value.name] = value
        return value.name


class MapBuilder:
    """A Map, step by step: `read` gives operands, `op` and `convert` results, `write` says where they go."""

    def __init__(self, program: ProgramBuilder, name: str, rows: int) -> None:
        self.program, self._name, self._rows = program, program.unique(name), rows
        self._operands: list[Rows] = []
        self._steps: list[Step] = []
        self._results: list[Result] = []

    def read(self, value: str, start: int = 0, stride: int = 1) -> In:
        rows = Rows(value, start, stride)
        if rows not in self._operands:
            self._operands.append(rows)
        return In(self._operands.index(rows))

    def op(self, op: UnaryOp | BinaryOp, dtype: DataType, *arguments: Argument) -> Of:
        self._steps.append(Step(op, dtype, arguments))
        return Of(len(self._steps) - 1)

    def convert(self, from_type: DataType, to_type: DataType, argument: Argument) -> Of:
        self._steps.append(Step("Convert", from_type, (argument,), to_type))
        return Of(len(self._steps) - 1)

    def write(self, result: Of, value: str, start: int = 0, stride: int = 1) -> None:
        self._results.append(Result(result.step, Rows(value, start, stride)))

    def finish(self) -> None:
        """Add it to the program. AssertionError if it has more steps than there are ALUs."""
        if len(self._steps) > self.program.alus:
            raise AssertionError(f"{self._name}: {len(self._steps)} steps for {self.program.alus} ALUs")
        self.program.add(Map(self._name, self._rows, tuple(self._operands), tuple(self._steps), tuple(self._results)))


def number(value: float) -> Immediate:
    """An fp32 immediate."""
    return Immediate(int(np.float32(value).view(np.uint32)))


def integer(value: int) -> Immediate:
    """An int32 immediate, or the low bits of a narrower one."""
    return Immediate(value & 0xFFFFFFFF)
