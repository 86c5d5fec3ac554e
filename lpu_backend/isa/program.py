"""A program: what every queue of every chip does, where its tensors lie, and which links join the chips."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lpu_backend.isa.instructions import Instruction
from lpu_backend.isa.operands import DataType


@dataclass(frozen=True)
class Region:
    """A tensor [rows, lanes] in SRAM, one byte plane a slice.

    With S slices and elements of B bytes there are W = S / B ways: byte b of row r lies in slice
    `slices[b * W + r % W]` at `address + (r // W) * step`. Lanes past `lanes` are zero. A constant brings its `data`,
    row by row, little endian.
    """

    name: str
    kind: Literal["input", "output", "constant"]
    dtype: DataType
    rows: int
    lanes: int
    slices: tuple[str, ...]
    address: int
    step: int = 1
    chip: int = 0
    data: bytes = b""

    def places(self) -> Iterator[tuple[int, int, str, int]]:
        """(row, byte, slice, address) of every vector of the region."""
        width = self.dtype.streams
        ways = len(self.slices) // width
        for row in range(self.rows):
            for byte in range(width):
                yield row, byte, self.slices[byte * ways + row % ways], self.address + (row // ways) * self.step

    def array(self) -> NDArray[np.generic]:
        """A constant's data, [rows, lanes]."""
        return np.frombuffer(self.data, dtype=self.dtype.numpy).reshape(self.rows, self.lanes)


@dataclass(frozen=True)
class Text:
    """Instructions that lie in SRAM for Ifetch, a word a tile: vector r, of 20 words on 20 tiles, at `address` + r."""

    name: str
    slice_name: str
    address: int
    instructions: tuple[Instruction, ...]
    chip: int = 0


@dataclass(frozen=True)
class Link:
    """A two-way connection: link `link_a` of chip `chip_a` and link `link_b` of chip `chip_b`."""

    chip_a: int
    link_a: int
    chip_b: int
    link_b: int


@dataclass(frozen=True)
class Program:
    """Immutable. `queues[chip]` maps queue names to what they hold at the start; a queue without an entry is idle."""

    name: str
    queues: tuple[Mapping[str, tuple[Instruction, ...]], ...]
    regions: tuple[Region, ...] = ()
    texts: tuple[Text, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def chips(self) -> int:
        return len(self.queues)
