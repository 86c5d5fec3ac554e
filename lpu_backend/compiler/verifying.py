"""What must hold between lowering and placing: a vector program that contradicts itself goes no further."""

from functools import singledispatchmethod

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.vector_program import (
    AllGather,
    LaneMax,
    Map,
    MatMul,
    Of,
    Operation,
    PermuteLanes,
    Rows,
    StoreRow,
    Tiles,
    TransposeTile,
    Value,
    VectorProgram,
)
from lpu_backend.isa.operands import DataType


class VerificationError(CompileError):
    """A pass gave something that contradicts itself: a defect of the compiler, not of the model."""


def verify_program(program: VectorProgram, chip: ChipSpec) -> None:
    """Every operation uses what is declared, within its rows, of its type, and written before. VerificationError."""
    _Verifier(program, chip).verify()


class _Verifier:
    """Goes through the operations in order; `written` are the values that hold something so far."""

    def __init__(self, program: VectorProgram, chip: ChipSpec) -> None:
        self._program, self._chip = program, chip
        self._values = {value.name: value for value in program.values}
        self._tiles = {tiles.name: tiles for tiles in program.tiles}
        self._written = {value.name for value in program.values if value.kind in ("constant", "input")}
        self._place = ""

    def verify(self) -> None:
        self._check(len(self._values) == len(self._program.values), "two values have one name")
        self._check(len(self._tiles) == len(self._program.tiles), "two matrices have one name")
        for tiles in self._program.tiles:
            is_whole = tiles.rows % 16 == 0 and 0 < tiles.rows <= self._chip.lanes
            self._check(is_whole, f"{tiles.name} has {tiles.rows} rows")
        for operation in self._program.operations:
            self._place = f" {operation.name}:"
            self._visit(operation)

    @singledispatchmethod
    def _visit(self, operation: Operation) -> None:
        raise TypeError(type(operation))

    @_visit.register
    def _map(self, operation: Map) -> None:
        self._check(len(operation.steps) <= self._chip.vxm_alus_per_lane, f"{len(operation.steps)} steps")
        for rows in operation.operands:
            self._read(rows, operation.rows)
        for place, step in enumerate(operation.steps):
            earlier = (argument.step < place for argument in step.arguments if isinstance(argument, Of))
            self._check(all(earlier), f"step {place} uses a later one")
        for result in operation.results:
            self._write(result.rows, operation.rows, operation.steps[result.step].result)

    @_visit.register
    def _lane_max(self, operation: LaneMax) -> None:
        self._read(operation.source, operation.rows, DataType.UINT8)
        if operation.lane_map is not None:
            self._read(operation.lane_map, operation.rows, DataType.UINT16)
        self._write(operation.destination, operation.rows, DataType.UINT8)

    @_visit.register
    def _permute(self, operation: PermuteLanes) -> None:
        source = self._read(operation.source, operation.rows)
        self._read(operation.lane_map, 1, DataType.UINT16)
        self._write(operation.destination, operation.rows, source.dtype)

    @_visit.register
    def _matmul(self, operation: MatMul) -> None:
        tiles = self._find_tiles(operation.tiles)
        outputs = operation.outputs or tiles.outputs
        self._check(outputs <= tiles.outputs, f"{outputs} of {tiles.outputs} rows of tiles")
        self._check(len(operation.vectors) == len(operation.destinations), "vectors without a destination")
        for vector, destination in zip(operation.vectors, operation.destinations, strict=True):
            self._check(operation.shared or len(vector) <= tiles.inputs, f"a vector of {len(vector)} rows")
            for row in vector:
                self._read(Rows(operation.source, row), 1, DataType.INT8)
            self._write(destination, outputs, DataType.INT32)

    @_visit.register
    def _store(self, operation: StoreRow) -> None:
        self._read(operation.source, 1)
        tiles = self._find_tiles(operation.tiles)
        self._check_tile(tiles, operation.output, operation.input)
        self._check(tiles.kind == "state", f"{tiles.name} is constant")
        self._check(0 <= operation.row < tiles.rows, f"row {operation.row} of {tiles.name}")

    @_visit.register
    def _transpose(self, operation: TransposeTile) -> None:
        self._check_tile(self._find_tiles(operation.source), operation.source_output, operation.source_input)
        self._check_tile(self._find_tiles(operation.destination), operation.output, operation.input)
        self._read(Rows(operation.identity), self._chip.lanes, DataType.INT8)

    @_visit.register
    def _gather(self, operation: AllGather) -> None:
        rows = operation.rows * operation.blocks
        source = self._read(Rows(operation.source), rows)
        self._write(Rows(operation.destination), rows * self._program.chips, source.dtype)

    def _read(self, rows: Rows, count: int, dtype: DataType | None = None) -> Value:
        value = self._find(rows, count)
        self._check(value.name in self._written, f"{value.name} is read before it is written")
        self._check(dtype in (None, value.dtype), f"{value.name} is {value.dtype.value}")
        return value

    def _write(self, rows: Rows, count: int, dtype: DataType) -> None:
        value = self._find(rows, count)
        self._check(value.kind != "constant", f"{value.name} is constant")
        self._check(value.dtype.streams == dtype.streams, f"{value.name} is {value.dtype.value}, not {dtype.value}")
        self._written.add(value.name)

    def _find(self, rows: Rows, count: int) -> Value:
        value = self._values.get(rows.value)
        if value is None:
            raise VerificationError(f"{self._program.name}:{self._place} {rows.value} is not declared")
        ends = (rows.at(0), rows.at(count - 1))
        self._check(min(ends) >= 0 and max(ends) < value.rows, f"rows {ends} of {value.name}, which has {value.rows}")
        return value

    def _find_tiles(self, name: str) -> Tiles:
        if name not in self._tiles:
            raise VerificationError(f"{self._program.name}:{self._place} {name} is not declared")
        return self._tiles[name]

    def _check_tile(self, tiles: Tiles, output: int, column: int) -> None:
        inside = 0 <= output < tiles.outputs and 0 <= column < tiles.inputs
        self._check(inside, f"tile ({output}, {column}) of {tiles.name}")

    def _check(self, condition: bool, complaint: str) -> None:
        if not condition:
            raise VerificationError(f"{self._program.name}:{self._place} {complaint}")
