"""The VXM: every ALU of every lane at work in every cycle."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.isa.instructions import Binary, Read, Write
from lpu_backend.isa.operands import AluResult, DataType, Direction, Immediate, Stream
from lpu_backend.isa.program import Region
from lpu_backend.validation.recording import Case, Recording, count_steadily
from lpu_backend.validation.schedule import Schedule

_VECTORS = 32
_DTYPE = DataType.INT32


def build_alus(chip: ChipSpec) -> Case:
    """Pairs of neighbouring ALUs compute (x + constant) * constant on int32 vectors, one in every cycle.

    Half of the pairs take vectors from the west and give theirs to the east, half the other way. What comes uses the
    lower half of the streams of its direction and what goes the upper one, as a result would overwrite an operand.
    """
    schedule, pairs = Schedule(chip), chip.vxm_alus_per_lane // 2
    regions = [region for pair in range(pairs) for region in _place_pair(schedule, chip, pair)]
    program = schedule.build("every ALU", regions)
    random = np.random.default_rng(0)
    shape = (_VECTORS, chip.lanes)
    inputs = {f"x{pair}": random.integers(-(1 << 31), 1 << 31, shape, np.int32) for pair in range(pairs)}
    return Case(program, inputs, lambda x: {f"y{pair}": _compute(x[f"x{pair}"], pair) for pair in range(pairs)})


def measure_vector_operations(chip: ChipSpec) -> float:
    """Element operations a cycle, over all ALUs."""
    recording = Recording(build_alus(chip), chip)
    steady, cycles = count_steadily(recording.select(Binary))
    return len(steady) * int(recording.outputs["y0"][0].size) / cycles


def _compute(x: NDArray[Any], pair: int) -> NDArray[Any]:
    product: NDArray[Any] = (x + np.int32(pair + 1)) * np.int32(pair + 3)
    return product


def _place_pair(schedule: Schedule, chip: ChipSpec, pair: int) -> list[Region]:
    """ALUs 2 k and 2 k + 1, which are neighbours in the mesh, with the Reads and Writes around them."""
    timing, width = chip.timing("Pointwise"), _DTYPE.streams
    groups = chip.streams_each_way // (2 * width)
    way, group = divmod(pair, groups)
    near, far = ("W", "E") if way == 0 else ("E", "W")
    direction: Direction = "E" if way == 0 else "W"
    comes, goes = group * width, (groups + group) * width
    first = Binary("Add", _DTYPE, Stream(direction, comes), Immediate(pair + 1), None)
    second = Binary("Mul", _DTYPE, AluResult(2 * pair), Immediate(pair + 3), Stream(direction, goes))
    second_cycle = timing.func - timing.skew
    schedule.place(f"VXM{2 * pair}", 0, first, count=_VECTORS)
    schedule.place(f"VXM{2 * pair + 1}", second_cycle, second, count=_VECTORS)
    sources = tuple(f"MEM_{near}{comes + byte}" for byte in range(width))
    targets = tuple(f"MEM_{far}{goes + byte}" for byte in range(width))
    for byte, (source, target) in enumerate(zip(sources, targets, strict=True)):
        read_cycle = schedule.read_for(source, "VXM", timing.skew)
        schedule.place(source, read_cycle, Read(0, Stream(direction, comes + byte), 1), count=_VECTORS)
        written_cycle = second_cycle + timing.func + schedule.hops("VXM", target)
        schedule.place(target, written_cycle, Write(0, Stream(direction, goes + byte), 1), count=_VECTORS)
    return [
        Region(f"x{pair}", "input", _DTYPE, _VECTORS, chip.lanes, sources, 0),
        Region(f"y{pair}", "output", _DTYPE, _VECTORS, chip.lanes, targets, 0),
    ]
