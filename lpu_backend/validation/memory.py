"""How much a slice holds, and how long a vector takes over the tiles."""

from typing import NamedTuple

import numpy as np

from lpu_backend.chip import ChipSpec
from lpu_backend.isa.instructions import Read, Write
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.isa.program import Program, Region
from lpu_backend.validation.recording import Recording, find_first, is_accepted
from lpu_backend.validation.schedule import Schedule

_MOST_ADDRESSES = 1 << 16
_EAST = Stream("E", 0)


class Capacity(NamedTuple):
    """Addresses of a slice, and the bytes that were written to all of them and read back."""

    addresses: int
    slice_bytes: int


def measure_capacity(chip: ChipSpec) -> Capacity:
    """Find the first address that a Write is refused; then fill a slice, another from it, and read that one back."""
    zeros = {"x": np.zeros((1, chip.lanes), np.uint8)}
    addresses = find_first(lambda at: not is_accepted(_write_at(chip, at), chip, zeros), 1, _MOST_ADDRESSES)
    x = np.random.default_rng(0).integers(0, 256, (addresses, chip.lanes), np.uint8)
    recording = Recording(_copy_slice(chip, addresses), chip, {"x": x}, {"y": x})
    return Capacity(addresses, recording.outputs["y"].nbytes)


def count_skew_cycles(chip: ChipSpec) -> int:
    """Cycles from the last dispatch of a program, a Write at the southernmost tile, until the chip is done with it."""
    x = np.ones((1, chip.lanes), np.uint8)
    recording = Recording(_copy_slice(chip, 1), chip, {"x": x}, {"y": x})
    return recording.cycles - max(dispatch.cycle for dispatch in recording.dispatches)


def _copy_slice(chip: ChipSpec, addresses: int) -> Program:
    """`addresses` vectors of MEM_W0 to MEM_E0, all of them by Read and Write."""
    schedule = Schedule(chip)
    schedule.place("MEM_W0", 0, Read(0, _EAST, 1), count=addresses)
    written_cycle = chip.timing("Read").func + schedule.hops("MEM_W0", "MEM_E0")
    schedule.place("MEM_E0", written_cycle, Write(0, _EAST, 1), count=addresses)
    regions = (
        Region("x", "input", DataType.UINT8, addresses, chip.lanes, ("MEM_W0",), 0),
        Region("y", "output", DataType.UINT8, addresses, chip.lanes, ("MEM_E0",), 0),
    )
    return schedule.build("a slice from another", regions)


def _write_at(chip: ChipSpec, address: int) -> Program:
    schedule = Schedule(chip)
    schedule.place("MEM_W0", 0, Read(0, _EAST))
    written_cycle = chip.timing("Read").func + schedule.hops("MEM_W0", "MEM_E0")
    schedule.place("MEM_E0", written_cycle, Write(address, _EAST))
    return schedule.build("one vector", [Region("x", "input", DataType.UINT8, 1, chip.lanes, ("MEM_W0",), 0)])
