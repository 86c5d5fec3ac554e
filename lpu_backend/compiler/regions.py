"""What a template finds in SRAM, or leaves there, as regions of a program: named, on a chip, with data or without."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.emission import Placed
from lpu_backend.compiler.sram import list_plane_slices
from lpu_backend.compiler.vector_program import AllGather, Scope, Tiles, Value
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Region

Kind = Literal["input", "output", "constant"]


def name_value(placed: Placed, value: Value, member: int) -> str:
    """Values of scope "model" are one, whatever the template."""
    return f"{_name_owner(placed, value.scope)} {value.name} of {value.rows} on {member}"


def make_value_region(
    placed: Placed, value: Value, chip: ChipSpec, member: int, kind: Kind, data: NDArray[Any] | None = None
) -> Region:
    """`data` [rows, lanes], which a constant has."""
    place = placed.template.placement.values[value.name]
    address = place.address + _further(placed, value.scope, place.slices[0])
    held = b"" if data is None else np.ascontiguousarray(data, value.dtype.numpy).tobytes()
    name = name_value(placed, value, member)
    return Region(name, kind, value.dtype, value.rows, chip.lanes, place.slices, address, 1, member, held)


def make_tile_regions(
    placed: Placed, tiles: Tiles, chip: ChipSpec, member: int, data: NDArray[np.int8] | None = None
) -> Iterator[Region]:
    """A region for each plane that has some of the tiles, one after another; `data` [outputs, inputs, rows, lanes]."""
    place = placed.template.placement.tiles[tiles.name]
    planes = len(place.planes)
    for number, (plane, begin) in enumerate(zip(place.planes, place.addresses, strict=True)):
        slices = list_plane_slices(chip, plane)
        address = begin + _further(placed, tiles.scope, slices[0])
        rows = len(range(number, tiles.outputs, planes)) * tiles.inputs * tiles.rows
        held = b"" if data is None else data[number::planes].tobytes()
        kind: Kind = "input" if data is None else "constant"
        name = name_tiles(placed, tiles, member, plane)
        yield Region(name, kind, DataType.INT8, rows, chip.lanes, slices, address, 1, member, held)


def name_tiles(placed: Placed, tiles: Tiles, member: int, plane: str) -> str:
    """Tiles on one plane."""
    return f"{_name_owner(placed, tiles.scope)} {tiles.name} at {plane} on {member}"


def list_gathered(placed: Placed) -> set[str]:
    """Values that come from other chips."""
    return {each.destination for each in placed.template.program.operations if isinstance(each, AllGather)}


def _further(placed: Placed, scope: Scope, slice_name: str) -> int:
    return placed.ordinal * placed.template.placement.layer_stride.get(slice_name, 0) if scope == "layer" else 0


def _name_owner(placed: Placed, scope: Scope) -> str:
    return "model" if scope == "model" else f"{placed.template.program.name}, {placed.ordinal}:"
