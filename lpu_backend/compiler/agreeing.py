"""How lanes agree on a scale: the largest code of a row, brought to all its lanes, and what follows from it.

docs/numerics.md, "Grids". A code is one byte a lane, so its largest is found with bytes alone: over the rows of a
group by the VXM, over the lanes of a tile by LaneMax, over the tiles by LaneMax with a map that brings to each tile a
lane of every other one.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, integer, number
from lpu_backend.compiler.vector_program import Argument, LaneMax, Of, Rows
from lpu_backend.isa.operands import DataType

UINT8, INT8, INT32, FP32 = DataType.UINT8, DataType.INT8, DataType.INT32, DataType.FP32
_FOLD = 8
_SIGN_CLEARED = integer(0x7FFFFFFF)


class Grid(NamedTuple):
    """A code is the bits from `shift` up less `base`; `steps` of the scale reach the code's largest magnitude."""

    shift: int
    base: int
    steps: int


ACTIVATIONS = Grid(21, 348, 128 * 127)
CACHE = Grid(20, 856, 127)


class Pass(NamedTuple):
    """Part of a walk over groups and columns: `count` places, where group and column begin and what they grow by."""

    places: int
    group: tuple[int, int]
    column: tuple[int, int]

    def at(self, group_stride: int, column_stride: int, start: int = 0) -> tuple[int, int]:
        """First row and stride where (group, column) lies at start + group * group_stride + column * column_stride."""
        return (
            start + self.group[0] * group_stride + self.column[0] * column_stride,
            self.group[1] * group_stride + self.column[1] * column_stride,
        )


def walk(groups: int, columns: int) -> Iterator[Pass]:
    """A pass a group or a pass a column, whichever is fewer."""
    if columns >= groups:
        yield from (Pass(columns, (group, 0), (0, 1)) for group in range(groups))
    else:
        yield from (Pass(groups, (0, 1), (column, 0)) for column in range(columns))


def fold_stride(columns: int) -> int:
    """Rows a group takes where maxima over its columns are to be folded: whole ways."""
    return columns if columns <= _FOLD else -(-columns // _FOLD) * _FOLD


def encode(program: MapBuilder, grid: Grid, value: Argument) -> Of:
    """The code of each element's magnitude, uint8: four steps."""
    bits = program.op("And", INT32, value, _SIGN_CLEARED)
    exponent = program.op("Shr", INT32, bits, integer(grid.shift))
    return program.convert(INT32, UINT8, program.op("Sub", INT32, exponent, integer(grid.base)))


def decode_scale(program: MapBuilder, grid: Grid, code: Argument) -> Of:
    """The scale that a code (int32) stands for: three steps."""
    bits = program.op("Shl", INT32, program.op("Add", INT32, code, integer(grid.base + 1)), integer(grid.shift))
    return program.op("Mul", FP32, bits, number(1.0 / grid.steps))


def square_of_root(program: MapBuilder, value: Argument) -> Of:
    """r * r with r = RSqrt(value), which is about 1 / value: two steps."""
    root = program.op("RSqrt", FP32, value)
    return program.op("Mul", FP32, root, root)


def make_code_value(program: ProgramBuilder, name: str, groups: int, columns: int) -> str:
    """A value for codes of groups of rows, which `agree` takes; row (group, column) at group * fold_stride + column."""
    return program.local(name, UINT8, groups * fold_stride(columns), spread=min(columns, _FOLD))


def agree(program: ProgramBuilder, codes: str, groups: int, columns: int, tiles: int) -> str:
    """The largest code of each group, in all lanes of each run of `tiles` tiles: a row a group. The value's name."""
    return agree_lanes(program, fold_columns(program, codes, groups, columns), groups, tiles)


def fold_columns(program: ProgramBuilder, codes: str, groups: int, columns: int) -> str:
    """The largest code of each group and lane, a row a group. The value's name."""
    while columns > 1:
        codes, columns = _fold_columns(program, codes, groups, columns)
    return codes


def _fold_columns(program: ProgramBuilder, codes: str, groups: int, columns: int) -> tuple[str, int]:
    """Eight columns become one."""
    chunks, stride = -(-columns // _FOLD), fold_stride(columns)
    folded = make_code_value(program, f"{codes} folded", groups, chunks)
    full = columns // _FOLD
    for part in walk(groups, full) if full else ():
        source, destination = part.at(stride, _FOLD), part.at(fold_stride(chunks), 1)
        _fold_places(program, (codes, folded), part.places, _FOLD, source, destination)
    if columns % _FOLD:
        _fold_places(
            program,
            (codes, folded),
            groups,
            columns % _FOLD,
            (full * _FOLD, stride),
            (full, fold_stride(chunks)),
        )
    return folded, chunks


def _fold_places(
    program: ProgramBuilder,
    values: tuple[str, str],
    count: int,
    width: int,
    source: tuple[int, int],
    destination: tuple[int, int],
) -> None:
    m = MapBuilder(program, f"largest of {values[0]}", count)
    level: list[Argument] = [m.read(values[0], source[0] + place, source[1]) for place in range(width)]
    largest = m.op("Copy", UINT8, level[0]) if width == 1 else None
    while len(level) > 1:
        pairs = [m.op("Max", UINT8, *level[place : place + 2]) for place in range(0, len(level) - 1, 2)]
        largest = pairs[-1]
        level = [*pairs, *level[2 * len(pairs) :]]
    assert largest is not None  # noqa: S101  width is at least 1
    m.write(largest, values[1], *destination)
    m.finish()


def agree_lanes(program: ProgramBuilder, codes: str, groups: int, tiles: int) -> str:
    """The largest code of each row in all lanes of each run of `tiles` tiles. The value's name."""
    by_tile = take_lane_max(program, codes, groups, None)
    if tiles == 1:
        return by_tile
    per_tile = program.lanes_per_tile
    first = take_lane_max(program, by_tile, groups, map_tiles(program, tiles, 0))
    if tiles <= per_tile:
        return first
    if tiles > 2 * per_tile:
        raise AssertionError("more tiles than two maps reach")
    second = take_lane_max(program, by_tile, groups, map_tiles(program, tiles, tiles - per_tile))
    agreed = program.local(f"{codes} agreed", UINT8, groups)
    m = MapBuilder(program, f"join {codes}", groups)
    m.write(m.op("Max", UINT8, m.read(first), m.read(second)), agreed)
    m.finish()
    return agreed


def take_lane_max(program: ProgramBuilder, source: str, rows: int, lane_map: str | None) -> str:
    """The largest of each tile's lanes, after a Permute by the map if there is one. The value's name."""
    result = program.local(f"{source} lanes", UINT8, rows)
    mapped = None if lane_map is None else Rows(lane_map, 0, 0)
    program.add(LaneMax(program.unique(f"lanes of {source}"), rows, Rows(source), Rows(result), mapped))
    return result


def map_tiles(program: ProgramBuilder, tiles: int, offset: int) -> str:
    """Lane l of a tile comes from lane l of the tile l + offset further in its run of tiles, modulo the run."""
    per_tile, lanes = program.lanes_per_tile, program.lanes

    def data(_: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
        tile, lane = np.divmod(np.arange(lanes), per_tile)
        first = tile // tiles * tiles
        moved = (first + (tile - first + lane + offset) % tiles) * per_tile + lane
        is_whole = first + tiles <= lanes // per_tile
        return np.where(is_whole, moved, np.arange(lanes)).astype(np.uint16)[None, None]

    return program.constant(f"map of {tiles} tiles from {offset}", DataType.UINT16, 1, data, "model")
