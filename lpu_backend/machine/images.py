"""Tensors to and from SRAM."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.isa.encoding import WORD_BYTES, encode
from lpu_backend.isa.program import Region, Text
from lpu_backend.machine.vectors import Elements, Vector, split


class RegionError(LpuBackendError):
    """An array that does not fit the region it is for, or a region that cannot be read."""


def lay_out(region: Region, array: NDArray[np.generic], chip: ChipSpec) -> Iterator[tuple[str, int, Vector]]:
    """(slice, address, vector) of an array [rows, lanes] of the region's type. RegionError."""
    kind = region.dtype.numpy
    if array.shape != (region.rows, region.lanes) or array.dtype != kind:
        wanted = f"{kind.name}[{region.rows}, {region.lanes}]"
        raise RegionError(f"{region.name} is {wanted}, not {array.dtype.name}{list(array.shape)}")
    padded = np.zeros((region.rows, chip.lanes), kind)
    padded[:, : region.lanes] = array
    rows = [split(row) for row in padded]
    for row, byte, slice_name, address in region.places():
        yield slice_name, address, rows[row][byte]


def lay_out_text(text: Text, chip: ChipSpec) -> Iterator[tuple[str, int, Vector]]:
    """(slice, address, vector) of instructions, a word a tile. Words wider than a tile's lanes do not exist."""
    words = b"".join(encode(instruction) for instruction in text.instructions)
    vector_bytes = chip.tiles * WORD_BYTES
    for row in range(-(-len(words) // vector_bytes)):
        piece = words[row * vector_bytes : (row + 1) * vector_bytes].ljust(vector_bytes, b"\0")
        yield text.slice_name, text.address + row, Vector(np.frombuffer(piece, np.uint8))


def collect(region: Region, vectors: dict[tuple[int, int], Vector]) -> Elements:
    """The region's array [rows, lanes] from the vectors of its (row, byte) places."""
    width = region.dtype.streams
    rows = [np.stack([vectors[row, byte].data for byte in range(width)], axis=-1) for row in range(region.rows)]
    return np.stack(rows).view(region.dtype.numpy)[:, : region.lanes, 0]
