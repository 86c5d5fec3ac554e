"""What SRAM holds before cycle 0: inputs, constants and texts."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lpu_backend.checker.issues import IntArray
from lpu_backend.chip import ChipSpec
from lpu_backend.isa.encoding import WORD_BYTES, EncodingError, decode
from lpu_backend.isa.instructions import Instruction
from lpu_backend.isa.placement import list_spans
from lpu_backend.isa.program import Program, Region, Text


class TextError(Exception):
    """Text that cannot be known without data; the message says why."""


class Stored(NamedTuple):
    """Vectors of one slice that are there from the start."""

    chip: int
    slice_name: str
    addresses: IntArray


def list_stored(program: Program, chip: ChipSpec) -> Iterator[Stored]:
    """Every vector that inputs, constants and texts fill. Outputs hold nothing."""
    for region in program.regions:
        if region.kind != "output":
            for slice_name, addresses in list_spans(region):
                yield Stored(region.chip, slice_name, np.arange(addresses.start, addresses.stop, addresses.step))
    for text in program.texts:
        yield Stored(text.chip, text.slice_name, text.address + np.arange(_text_vectors(text, chip)))


def read_text(program: Program, chip: ChipSpec, place: tuple[int, str, int]) -> tuple[Instruction | None, ...]:
    """The words of the vector at (chip, slice, address), a tile each, None for no instruction.

    TextError where the vector is not of a text or a constant, or a word is no instruction.
    """
    chip_index, slice_name, address = place
    for text in program.texts:
        vector = address - text.address
        if (text.chip, text.slice_name) == (chip_index, slice_name) and 0 <= vector < _text_vectors(text, chip):
            words = text.instructions[vector * chip.tiles : (vector + 1) * chip.tiles]
            return (*words, *[None] * (chip.tiles - len(words)))
    for region in program.regions:
        if region.chip == chip_index and (plane := _find_plane(region, slice_name, address)) is not None:
            if region.kind != "constant":
                raise TextError(f"{region.name}, an {region.kind}, cannot be checked as instructions")
            return tuple(_decode_words(region, plane, chip))
    raise TextError(f"{address:#x} of {slice_name} holds no text")


def _text_vectors(text: Text, chip: ChipSpec) -> int:
    return -(-len(text.instructions) // chip.tiles)


def _ways(region: Region) -> int:
    return len(region.slices) // region.dtype.streams


def _find_plane(region: Region, slice_name: str, address: int) -> tuple[int, int] | None:
    """(row, byte) of the region's vector at an address of a slice."""
    ways = _ways(region)
    for place, name in enumerate(region.slices):
        if name == slice_name:
            vector, rest = divmod(address - region.address, region.step or 1)
            row = vector * ways + place % ways
            if rest == 0 and vector >= 0 and row < region.rows:
                return row, place // ways
    return None


def _decode_words(region: Region, plane: tuple[int, int], chip: ChipSpec) -> Iterator[Instruction | None]:
    row, byte = plane
    vector = np.zeros(chip.lanes, dtype=np.uint8)
    elements = np.ascontiguousarray(region.array()[row])
    vector[: region.lanes] = elements.view(np.uint8).reshape(region.lanes, -1)[:, byte]
    for start in range(0, chip.lanes, WORD_BYTES):
        try:
            yield decode(vector[start : start + WORD_BYTES].tobytes())
        except EncodingError as error:
            raise TextError(f"row {row} of {region.name}, tile {start // WORD_BYTES}: {error}") from None
