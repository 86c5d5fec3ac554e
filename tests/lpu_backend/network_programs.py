"""Schedules of the network as programs of the machine: tensors placed, transfers lowered, sums added by the VXM."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, plan_floor
from lpu_backend.isa.instructions import Binary, Read, Write
from lpu_backend.isa.operands import AluResult, DataType, Stream
from lpu_backend.isa.program import Program, Region
from lpu_backend.network.lowering import LoweredSchedule, Place, TimedQueues, list_links, lower_schedule
from lpu_backend.network.plan import Collective, Value
from lpu_backend.network.prologue import fill_queues
from lpu_backend.network.topology import Topology

DTYPES = {1: DataType.INT8, 2: DataType.FP16, 4: DataType.FP32}
OUTPUT_ADDRESS = 0x40
POSITIONS = plan_floor(GROQCHIP1).positions


def place_value(collective: Collective, value: Value, plane: int) -> Place:
    """Chip i's own tensor, and what comes from it, has slices of its own, MEM_W43 and down, the same on all chips.

    Rows that leave in one cycle, as those of a broadcast by way of others do, lie in different slices.
    """
    ways = count_ways(collective)
    slices_before = (value.index * collective.vectors_per_row + plane) * ways + value.row % ways
    return Place(f"MEM_W{43 - slices_before}", value.row // ways)


def count_ways(collective: Collective) -> int:
    return collective.topology.chips - 1 if collective.name.startswith("broadcast") else 1


def lower_collective(collective: Collective) -> LoweredSchedule:
    """Every vector to the place of its value, the same on all chips."""
    places = [place_value(collective, *payload) for payload in collective.payloads]
    destinations = {
        (name, chip): places[name]
        for name, transfer in enumerate(collective.schedule.transfers)
        for chip in transfer.destinations
    }
    return lower_schedule(collective.topology, collective.schedule, places, destinations)


def build_program(topology: Topology, queues: tuple[TimedQueues, ...], regions: list[Region]) -> Program:
    filled = tuple(fill_queues(timed) for timed in queues)
    return Program("network", filled, tuple(regions), links=list_links(topology))


def list_regions(collective: Collective) -> list[Region]:
    """x{chip} goes in; y{chip}_{from} is what the chip has of another one's tensor."""
    dtype = DTYPES[collective.vectors_per_row]
    regions = []
    for chip, held in enumerate(collective.results):
        for index in sorted({value.index for value in held}):
            slices = tuple(
                place_value(collective, Value(0, index, row), plane).slice_name
                for plane in range(collective.vectors_per_row)
                for row in range(count_ways(collective))
            )
            name, kind = (f"x{chip}", "input") if index == chip else (f"y{chip}_{index}", "output")
            regions.append(Region(name, kind, dtype, collective.rows, 320, slices, 0, chip=chip))
    return regions


def add_sums(collective: Collective, lowered: LoweredSchedule) -> tuple[int, list[Region]]:
    """One row of fp32 of up to eight chips, when the last is written: in pairs, by the ALUs of `all-reduce-8`.

    The cycle after the barrier in which the last byte of the sum is written, and the regions of the sums.
    """
    chips = collective.topology.chips
    meet_cycle = max(lowered.written_cycles.values()) + 1 + 5 + 45
    tree = {2: [(0, 1, 0)], 4: [(0, 1, 0), (2, 3, 2), (0, 2, 1)]}.get(
        chips, [(0, 1, 0), (2, 3, 2), (4, 5, 8), (6, 7, 10), (0, 2, 1), (8, 10, 9), (1, 9, 5)]
    )
    for queues in lowered.queues:
        for term in range(chips):
            for plane in range(4):
                place = place_value(collective, Value(0, term, 0), plane)
                cycle = meet_cycle - 5 - (POSITIONS["VXM"] - POSITIONS[place.slice_name])
                queues.setdefault(place.slice_name, {})[cycle] = Read(place.address, Stream("E", 4 * term + plane))
        for step, (one, other, alu) in enumerate(tree):
            level = 0 if step < chips // 2 else 1 if step < chips * 3 // 4 else 2
            left, right = (Stream("E", 4 * term) if level == 0 else AluResult(term) for term in (one, other))
            last = step == len(tree) - 1
            add = Binary("Add", DataType.FP32, left, right, Stream("E", 0) if last else None)
            queues[f"VXM{alu}"] = {meet_cycle - 1 + 3 * level: add}
            driven_cycle = meet_cycle + 3 * level + 3
        for plane in range(4):
            queues[f"MEM_E{plane}"] = {driven_cycle + 1 + plane: Write(OUTPUT_ADDRESS, Stream("E", plane))}
    slices = tuple(f"MEM_E{plane}" for plane in range(4))
    sums = [
        Region(f"sum{chip}", "output", DataType.FP32, 1, 320, slices, OUTPUT_ADDRESS, chip=chip)
        for chip in range(chips)
    ]
    return driven_cycle + 4, sums


def make_tensors(collective: Collective, seed: int = 7) -> NDArray[Any]:
    """[chips, rows, 320] of the collective's type."""
    shape = (collective.topology.chips, collective.rows, 320)
    drawn = np.random.Generator(np.random.Philox(seed)).standard_normal(shape) * 50
    return drawn.astype(DTYPES[collective.vectors_per_row].numpy)
