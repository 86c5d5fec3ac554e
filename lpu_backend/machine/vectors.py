"""What a stream register or an SRAM address holds: one byte a lane, with what is known of its check bits.

Check bits are a function of the data at the time when they are made, so they are only worked out where bits have
been flipped since: `flips` holds, by tile, the wrong bits of that tile's 137-bit word. A word without flips decodes
to itself.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lpu_backend.isa.operands import DataType

Bytes = NDArray[np.uint8]
Elements = NDArray[np.generic]
NO_FLIPS: Mapping[int, frozenset[int]] = MappingProxyType({})


class Vector:
    """Immutable. `data` uint8 [lanes]; `absent` bool [tiles], or None when every tile has been written.

    A vector that was split off wider elements keeps those (`whole`, and its own place `byte` among their bytes), so
    that joining the same streams again needs no copy.
    """

    __slots__ = ("absent", "byte", "data", "flips", "whole")

    def __init__(
        self,
        data: Bytes,
        *,
        flips: Mapping[int, frozenset[int]] = NO_FLIPS,
        absent: NDArray[np.bool_] | None = None,
        whole: Elements | None = None,
        byte: int = 0,
    ) -> None:
        self.data = data
        self.flips = flips
        self.absent = absent
        self.whole = whole
        self.byte = byte


def split(elements: Elements) -> list[Vector]:
    """Elements [lanes] to one vector a byte, lowest first."""
    width = elements.itemsize
    if width == 1:
        return [Vector(elements.view(np.uint8))]
    planes = np.ascontiguousarray(elements.view(np.uint8).reshape(-1, width).T)
    return [Vector(planes[byte], whole=elements, byte=byte) for byte in range(width)]


def join(vectors: Sequence[Vector], dtype: DataType) -> Elements:
    """The vectors of a stream group as elements [lanes]. Their words are taken as right: check them first."""
    kind = dtype.numpy
    if len(vectors) == 1:
        return vectors[0].data.view(kind)
    whole = vectors[0].whole
    if whole is not None and whole.itemsize == len(vectors) and _is_in_order(vectors, whole):
        return whole.view(kind)
    return np.stack([vector.data for vector in vectors], axis=1).view(kind).reshape(-1)


def _is_in_order(vectors: Sequence[Vector], whole: Elements) -> bool:
    return all(vector.whole is whole and vector.byte == byte for byte, vector in enumerate(vectors))


def power_down(vector: Vector, superlanes: int, lanes_per_tile: int) -> Vector:
    """The vector with zeros in all but the southernmost `superlanes` tiles."""
    data = vector.data.copy()
    data[superlanes * lanes_per_tile :] = 0
    return Vector(data, flips={tile: bits for tile, bits in vector.flips.items() if tile < superlanes})
