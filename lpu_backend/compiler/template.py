"""A scheduled vector program: instructions with queue and cycle, for any chip of its group and any layer of its kind.

What differs between chips and layers is addresses, and on which link a peer is. So one template serves all layers of a
kind and all chips, however many there are; `emission` writes out those that are asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lpu_backend.compiler.routing import GatherWindow
from lpu_backend.compiler.value_place import ValuePlace
from lpu_backend.compiler.vector_program import Scope, VectorProgram
from lpu_backend.isa.instructions import Instruction


@dataclass(frozen=True)
class TilePlace:
    """Tile (n, k) is loaded into plane `planes[n % P]`, P of them. Its row r lies in place r % 16 of that plane's 16
    weight slices, at `addresses[n % P]` + ((n // P) * inputs + k) * (rows // 16) + r // 16."""

    planes: tuple[str, ...]
    addresses: tuple[int, ...]


@dataclass(frozen=True)
class Placement:
    """Where values and tiles of one vector program lie, for layer 0 of its kind.

    Those of scope "layer" lie `layer_stride[slice]` addresses further in each next layer of the kind.
    """

    values: Mapping[str, ValuePlace]
    tiles: Mapping[str, TilePlace]
    layer_stride: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Run:
    """`instruction` dispatched at `cycle` and `count` times more, `distance` cycles apart, with `step` as by Repeat.

    Its address is of `scope`. With `stored` it is the Write of the StoreRow of that place among the program's
    operations, if its row is `stored_row` modulo 16, and is one of 16, each in the slice of such rows: the address is
    that of row 0.
    """

    queue: str
    cycle: int
    instruction: Instruction
    count: int = 0
    distance: int = 1
    scope: Scope = "step"
    stored: int | None = None
    stored_row: int = 0


@dataclass(frozen=True)
class Template:
    """`cycles` after its beginning nothing of it is under way, and the next template may begin.

    In each of `windows`, which begin in a cycle, the network alone is at work; what a chip does in one depends on its
    place in the group. `last_cycle` is the last in which an instruction is dispatched, takes operands or drives a
    stream.
    """

    program: VectorProgram
    placement: Placement
    runs: tuple[Run, ...]
    windows: tuple[tuple[int, GatherWindow], ...]
    cycles: int
    last_cycle: int
