"""Bytes per cycle: streams past one position, SRAM, and instruction words."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.isa.encoding import encode
from lpu_backend.isa.instructions import Config, MemPair, Read, Unary, Write
from lpu_backend.isa.operands import DataType, Direction, Immediate, Stream
from lpu_backend.isa.program import Program, Region
from lpu_backend.machine import Dispatch
from lpu_backend.validation.recording import Case, Recording, Tensors, count_steadily, find_first, is_accepted
from lpu_backend.validation.schedule import Schedule

_STEADY_CYCLES = 48
_MOST_STREAMS = 1_023
_SIDES: tuple[Direction, Direction] = ("W", "E")


def build_streams(chip: ChipSpec) -> Case:
    """Every stream carries a new vector in every cycle past the VXM, both ways.

    Slice i of a side reads onto stream i towards the other side, where slice i writes what comes.
    """
    schedule, count = Schedule(chip), 2 * chip.slices_each_side + _STEADY_CYCLES
    regions: list[Region] = []
    half = chip.mem_addresses // 2
    used = range(min(chip.streams_each_way, chip.slices_each_side))
    for here, there in zip(_SIDES, reversed(_SIDES), strict=True):
        for place in used:
            source, target, stream = f"MEM_{here}{place}", f"MEM_{there}{place}", Stream(there, place)
            schedule.place(source, 0, Read(0, stream, 1), count=count)
            written_cycle = chip.timing("Read").func + schedule.hops(source, target)
            schedule.place(target, written_cycle, Write(half, stream, 1), count=count)
        rows, sources = count * len(used), tuple(f"MEM_{here}{place}" for place in used)
        targets = tuple(f"MEM_{there}{place}" for place in used)
        regions.append(Region(f"from_{here}", "input", DataType.UINT8, rows, chip.lanes, sources, 0))
        regions.append(Region(f"to_{there}", "output", DataType.UINT8, rows, chip.lanes, targets, half))
    program = schedule.build("streams both ways", regions)
    inputs = {f"from_{side}": _draw_bytes(count * len(used), chip) for side in _SIDES}
    return Case(program, inputs, lambda x: {"to_E": x["from_W"].copy(), "to_W": x["from_E"].copy()})


def measure_stream_bytes(chip: ChipSpec) -> float:
    """Bytes a cycle past the VXM's position: vectors that were written, by the cycle in which each passed it."""
    recording = Recording(build_streams(chip), chip)
    middle = plan_floor(chip).positions["VXM"]
    # A slice's Write may stand alone or in a Pair with its Read: either way it is one vector that came past.
    writes = [each for each in recording.dispatches if _has_write(each)]
    steady, cycles = count_steadily(writes, lambda each: each.cycle - abs(each.queue.position - middle))
    return len(steady) * int(recording.outputs["to_E"][0].nbytes) / cycles


def _has_write(dispatch: Dispatch) -> bool:
    match dispatch.instruction:
        case Write() | MemPair(first=Write()) | MemPair(second=Write()):
            return True
    return False


class SramRates(NamedTuple):
    """Bytes a cycle, and the slices that gave them."""

    bytes_per_cycle: float
    slices: int


def build_slices(chip: ChipSpec) -> Case:
    """Every slice reads a vector onto a stream and writes the one of its neighbour in every cycle."""
    schedule = Schedule(chip)
    slices = _pair_slices(schedule, chip)
    return _exchange_vectors(chip, slices, schedule.build("every slice", _list_pair_regions(chip, slices)))


def measure_sram(chip: ChipSpec) -> SramRates:
    """Both accesses of each Pair, a vector each."""
    recording = Recording(build_slices(chip), chip)
    steady, cycles = count_steadily(recording.select(MemPair))
    accesses_per_pair = 2
    moved_bytes = len(steady) * accesses_per_pair * recording.outputs["y"][0].nbytes
    return SramRates(moved_bytes / cycles, len({each.queue.name for each in steady}))


def _pair_slices(schedule: Schedule, chip: ChipSpec) -> list[str]:
    """Place the accesses; the slices' names, neighbours side by side, west to east."""
    names = [name for name in plan_floor(chip).positions if name.startswith("MEM")]
    half = chip.mem_addresses // 2
    for west, east in zip(names[::2], names[1::2], strict=True):
        for source, target, stream in ((west, east, Stream("E", 0)), (east, west, Stream("W", 0))):
            schedule.place(source, 0, Read(0, stream, 1), count=_STEADY_CYCLES)
            written_cycle = chip.timing("Read").func + schedule.hops(source, target)
            schedule.place(target, written_cycle, Write(half, stream, 1), count=_STEADY_CYCLES)
    return names


def _list_pair_regions(chip: ChipSpec, slices: list[str]) -> list[Region]:
    vectors, half = _STEADY_CYCLES * len(slices), chip.mem_addresses // 2
    return [
        Region("x", "input", DataType.UINT8, vectors, chip.lanes, tuple(slices), 0),
        Region("y", "output", DataType.UINT8, vectors, chip.lanes, tuple(slices), half),
    ]


def _exchange_vectors(chip: ChipSpec, slices: list[str], program: Program) -> Case:
    def expect(inputs: Tensors) -> Tensors:
        pairs = inputs["x"].reshape(-1, len(slices) // 2, 2, chip.lanes)
        return {"y": pairs[:, :, ::-1].reshape(-1, chip.lanes)}

    return Case(program, {"x": _draw_bytes(_STEADY_CYCLES * len(slices), chip)}, expect)


class IssueRates(NamedTuple):
    """Instruction words a cycle, and their bytes."""

    words_per_cycle: float
    bytes_per_cycle: float


def build_queues(chip: ChipSpec) -> Case:
    """Every queue dispatches a word in every cycle, no word more than once.

    Slices work as for the SRAM's bandwidth, every ALU copies a constant, and the other queues take Config, which sets
    what is set already: a link takes a vector only every 27 cycles, so no other word goes to its queue in each of them.
    """
    schedule = Schedule(chip)
    slices = _pair_slices(schedule, chip)
    last_cycle = chip.timing("Read").func + _STEADY_CYCLES
    for queue in plan_floor(chip).queues.values():
        if queue.unit == "VXM":
            copy = Unary("Copy", DataType.INT32, Immediate(queue.part), None)
            schedule.place(queue.name, 0, copy, count=last_cycle)
        elif queue.unit != "MEM":
            schedule.place(queue.name, 0, Config(chip.tiles), count=last_cycle)
    program = schedule.build("every queue", _list_pair_regions(chip, slices), repeats=False)
    return _exchange_vectors(chip, slices, program)


def measure_issue(chip: ChipSpec) -> IssueRates:
    """Dispatches, and the encoded bytes of each."""
    recording = Recording(build_queues(chip), chip)
    steady, cycles = count_steadily(recording.dispatches)
    return IssueRates(len(steady) / cycles, sum(len(encode(each.instruction)) for each in steady) / cycles)


def count_streams(chip: ChipSpec) -> int:
    """Streams each way: the first number that the machine refuses as a stream."""
    return find_first(lambda number: not is_accepted(_read_onto(chip, number), chip), 1, _MOST_STREAMS)


def _read_onto(chip: ChipSpec, stream: int) -> Case:
    schedule = Schedule(chip)
    schedule.place("MEM_W0", 0, Read(0, Stream("E", stream)))
    program = schedule.build("one read", [Region("x", "input", DataType.UINT8, 1, chip.lanes, ("MEM_W0",), 0)])
    return Case(program, {"x": _draw_bytes(1, chip)}, lambda _: {})


def _draw_bytes(rows: int, chip: ChipSpec) -> NDArray[np.uint8]:
    return np.random.default_rng(rows).integers(0, 256, (rows, chip.lanes), np.uint8)
