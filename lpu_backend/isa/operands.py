"""What instructions name: streams, element types, and the operands of a VXM ALU."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

import numpy as np

Direction = Literal["E", "W"]


class Stream(NamedTuple):
    """One of a chip's streams: `E0` flows east, `W31` west. A wider type takes an aligned group that begins here."""

    direction: Direction
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a stream

    def __str__(self) -> str:
        return f"{self.direction}{self.index}"


class DataType(Enum):
    """Element types of streams (TSP: 1 to 4 bytes, on aligned stream groups of 1, 2 or 4)."""

    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    FP16 = "fp16"
    FP32 = "fp32"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The little-endian numpy type."""
        return _NUMPY_TYPES[self]

    @property
    def streams(self) -> int:
        """Bytes of an element, which is the number of streams of its group."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        return self in (DataType.FP16, DataType.FP32)


_NUMPY_TYPES: dict[DataType, np.dtype[np.generic]] = {
    DataType.INT8: np.dtype("<i1"),
    DataType.UINT8: np.dtype("<u1"),
    DataType.INT16: np.dtype("<i2"),
    DataType.UINT16: np.dtype("<u2"),
    DataType.INT32: np.dtype("<i4"),
    DataType.FP16: np.dtype("<f2"),
    DataType.FP32: np.dtype("<f4"),
}


@dataclass(frozen=True, slots=True)
class AluResult:
    """The result register of a VXM ALU, which the ALU itself and its neighbours in the 4 x 4 mesh read."""

    alu: int

    def __str__(self) -> str:
        return f"ALU{self.alu}"


@dataclass(frozen=True, slots=True)
class Immediate:
    """A constant for all lanes: the 32 bits of an int32 or fp32, or the low bits of a narrower type."""

    bits: int

    def __str__(self) -> str:
        return f"#0x{self.bits:08x}"


Source = Stream | AluResult | Immediate


def mesh_neighbours(alu: int) -> frozenset[int]:
    """ALUs whose results an ALU reads: its own, and those north, south, east and west in the mesh (assumed)."""
    row, column = divmod(alu, 4)
    steps = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
    places = ((row + down, column + right) for down, right in steps)
    return frozenset(4 * down + right for down, right in places if 0 <= down < 4 and 0 <= right < 4)
