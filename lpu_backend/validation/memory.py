"""How much a slice holds, and how long a vector takes over the tiles."""

from typing import NamedTuple

import numpy as np

from lpu_backend.chip import ChipSpec
from lpu_backend.isa.instructions import Read, Write
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.isa.program import Region
from lpu_backend.validation.recording import Case, Recording, find_first, is_accepted
from lpu_backend.validation.schedule import Schedule

_MOST_ADDRESSES = 1 << 16
_EAST = Stream("E", 0)


class Capacity(NamedTuple):
    """Addresses of a slice, and the bytes that were written to all of them and read back."""

    addresses: int
    slice_bytes: int


def measure_capacity(chip: ChipSpec) -> Capacity:
    """Find the first address that a Write is refused; then fill a slice, another from it, and read that one back."""
    addresses = find_first(lambda address: not is_accepted(build_copy(chip, 1, address), chip), 1, _MOST_ADDRESSES)
    recording = Recording(build_copy(chip, addresses), chip)
    return Capacity(addresses, recording.outputs["y"].nbytes)


def count_skew_cycles(chip: ChipSpec) -> int:
    """Cycles from the last dispatch of a program, a Write at the southernmost tile, until the chip is done with it."""
    recording = Recording(build_copy(chip, 1), chip)
    return recording.cycles - max(dispatch.cycle for dispatch in recording.dispatches)


def build_copy(chip: ChipSpec, vectors: int, first_address: int = 0) -> Case:
    """`vectors` vectors from MEM_W0 to MEM_E0, each by a Read and a Write, and there from `first_address` on."""
    schedule = Schedule(chip)
    schedule.place("MEM_W0", 0, Read(0, _EAST, 1), count=vectors)
    written_cycle = chip.timing("Read").func + schedule.hops("MEM_W0", "MEM_E0")
    schedule.place("MEM_E0", written_cycle, Write(first_address, _EAST, 1), count=vectors)
    regions = (
        Region("x", "input", DataType.UINT8, vectors, chip.lanes, ("MEM_W0",), 0),
        Region("y", "output", DataType.UINT8, vectors, chip.lanes, ("MEM_E0",), first_address),
    )
    x = np.random.default_rng(0).integers(0, 256, (vectors, chip.lanes), np.uint8)
    return Case(schedule.build("a slice from another", regions), {"x": x}, lambda inputs: {"y": inputs["x"].copy()})
