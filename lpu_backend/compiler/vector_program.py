"""What a group of chips computes in one step, as operations on vectors: after lowering, before anything has a place.

Every chip of a tensor-parallel group runs the same operations; what differs is the data of constants and, in
AllGather, whose rows are whose. A row is one vector, an element a lane. Values live in activation memory, tiles in
weight memory. Operations are in order: each sees what those before it wrote, so a value may be written more than once.

`interpreter.py` says in numpy what each operation means; `schedule` gives each its cycles. Both must agree.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from lpu_backend.isa.instructions import BinaryOp, UnaryOp
from lpu_backend.isa.operands import DataType, Immediate

Scope = Literal["model", "layer", "step"]
"""model: one for the whole program. layer: one a layer, which the program of a layer names alike. step: temporary."""


@dataclass(frozen=True)
class Value:
    """`rows` vectors of `dtype`, in activation memory.

    Row r lies in way r % `spread`, each way in slices of its own, so that `spread` rows in a row can be read or written
    in one cycle: a Map has them as operands (start i, stride `spread`).
    `constant`: its data is known before the step. `input`: the host writes it before each step. `output`: the host
    reads it. `local`: operations write it. Only `local` values are of scope "step", except the hidden rows, which
    pass from layer to layer ("model").
    """

    name: str
    dtype: DataType
    rows: int
    kind: Literal["constant", "input", "output", "local"] = "local"
    scope: Scope = "step"
    spread: int = 1


@dataclass(frozen=True)
class Tiles:
    """`outputs` x `inputs` tiles of int8, each up to lanes x lanes, in weight memory; row n of a tile is output lane n.

    `rows` of them are used (a multiple of 16). `constant`: weights. `state`: the cache, which keeps what Store and
    TransposeTile write from step to step, and is zero at first. Tile (n, k) may be written by its row.
    """

    name: str
    outputs: int
    inputs: int
    rows: int
    kind: Literal["constant", "state"] = "constant"
    scope: Scope = "layer"


class Rows(NamedTuple):
    """Rows `start`, `start` + `stride`, ... of a value; stride 0 is one row for all."""

    value: str
    start: int = 0
    stride: int = 1

    def at(self, place: int) -> int:
        """The row of the `place`-th."""
        return self.start + place * self.stride


class In(NamedTuple):
    """The row of operand `operand`, its bits as the step's type has them."""

    operand: int


class Of(NamedTuple):
    """The result of an earlier step."""

    step: int


Argument = In | Of | Immediate


class Step(NamedTuple):
    """One ALU operation: `op` of `dtype`; "Convert" has `to` (as lpu_backend.isa: nearest even, integers saturate)."""

    op: UnaryOp | BinaryOp | Literal["Convert"]
    dtype: DataType
    arguments: tuple[Argument, ...]
    to: DataType | None = None

    @property
    def result(self) -> DataType:
        return self.to or self.dtype


class Result(NamedTuple):
    """A step's result goes to these rows."""

    step: int
    rows: Rows


@dataclass(frozen=True)
class Map:
    """For each of `rows` places: the operands' rows through the steps, the results to their rows. VXM.

    At most one ALU a step, 16 in all, Copies that hold a result back included. No result's rows may be read by a later
    place of the same Map.
    """

    name: str
    rows: int
    operands: tuple[Rows, ...]
    steps: tuple[Step, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True)
class LaneMax:
    """Each lane of the destination is the largest of its tile's lanes, after a Permute by `lane_map`. uint8."""

    name: str
    rows: int
    source: Rows
    destination: Rows
    lane_map: Rows | None = None


@dataclass(frozen=True)
class PermuteLanes:
    """Lane i of the destination is lane map[i] of the source; values of one type, any. The map is one uint16 row."""

    name: str
    rows: int
    source: Rows
    destination: Rows
    lane_map: Rows


@dataclass(frozen=True)
class MatMul:
    """Whole sums. For each vector v and tile row n: destination[v].at(n) (int32) = sum over k of tiles (n, k) times
    the row vectors[v][k] of `source` (int8). MXM.

    With `shared` the tile is one for all k: (n, 0), loaded once. `outputs` is how many tile rows are used, from the
    first on (None: all); as many tiles k are used as the vectors are long.
    """

    name: str
    tiles: str
    source: str
    vectors: tuple[tuple[int, ...], ...]
    destinations: tuple[Rows, ...]
    shared: bool = False
    outputs: int | None = None


@dataclass(frozen=True)
class StoreRow:
    """Row `row` of tile (`output`, `input`) of `tiles` becomes a vector of bytes. The time does not depend on `row`."""

    name: str
    source: Rows
    tiles: str
    output: int
    input: int
    row: int


@dataclass(frozen=True)
class TransposeTile:
    """Tile (`output`, `input`) of `destination` becomes the transpose of tile (`source_output`, `source_input`) of
    `source`, by products with the rows of `identity` (int8, lanes rows). MXM."""

    name: str
    source: str
    source_output: int
    source_input: int
    destination: str
    output: int
    input: int
    identity: str


@dataclass(frozen=True)
class AllGather:
    """Each chip's rows to all: row b * chips * rows + chip * rows + r of the destination is row b * rows + r of the
    source on that chip, for b below `blocks`. C2C; on one chip, copies."""

    name: str
    source: str
    destination: str
    rows: int
    blocks: int = 1


Operation = Map | LaneMax | PermuteLanes | MatMul | StoreRow | TransposeTile | AllGather


@dataclass(frozen=True)
class VectorProgram:
    """One step's part: a layer, or what comes before or after the layers."""

    name: str
    chips: int
    values: tuple[Value, ...]
    tiles: tuple[Tiles, ...]
    operations: tuple[Operation, ...]
