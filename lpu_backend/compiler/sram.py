"""Which MEM slices hold what: those next to the VXM values, the outer ones the tiles of the MXM plane they feed.

A plane's load port takes 16 streams (`mxm_load_streams`), so its weights lie in 16 slices, a row of the tile in each.
Values then never share streams with weights under way: those flow outward beyond the slices of the values. This
division is the compiler's; the hardware has none (assumed).
"""

from functools import cache

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.errors import CompileError

SIDES = ("E", "W")


@cache
def list_planes(chip: ChipSpec) -> tuple[str, ...]:
    """MXM planes, the inner ones first, sides in turn: MXM_E0 MXM_W0 MXM_E1 MXM_W1."""
    return tuple(f"MXM_{side}{plane}" for plane in range(chip.mxm_planes // 2) for side in SIDES)


@cache
def list_value_slices(chip: ChipSpec) -> dict[str, tuple[str, ...]]:
    """By side the slices of values, from the VXM outwards. CompileError if weights leave none."""
    count = chip.slices_each_side - chip.mxm_load_streams * (chip.mxm_planes // 2)
    if count < 1:
        raise CompileError(f"{chip.mem_slices} slices leave none beside the weights of {chip.mxm_planes} planes")
    return {side: tuple(f"MEM_{side}{place}" for place in range(count)) for side in SIDES}


@cache
def list_plane_slices(chip: ChipSpec, plane: str) -> tuple[str, ...]:
    """The 16 slices that feed a plane; row r of a tile lies in slice r % 16 of them."""
    side, number = plane[-2], int(plane[-1])
    begin = len(list_value_slices(chip)[side]) + number * chip.mxm_load_streams
    return tuple(f"MEM_{side}{place}" for place in range(begin, begin + chip.mxm_load_streams))


def side_of(slice_name: str) -> str:
    """E or W, of MEM_E12, MXM_W0 or SXM_E."""
    return slice_name[4]
