"""A link between two chips: how often it takes a vector, how many bytes it brings, how long they are under way."""

from typing import NamedTuple

import numpy as np

from lpu_backend.chip import ChipSpec
from lpu_backend.isa.instructions import Read, Receive, Send, Write
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.isa.program import Link, Region
from lpu_backend.machine.link import Channel
from lpu_backend.machine.vectors import Vector
from lpu_backend.validation.recording import Case, Recording, count_steadily, find_first, is_accepted
from lpu_backend.validation.schedule import Schedule

_VECTORS = 12
_LONGEST_INTERVAL_CYCLES = 64
_LONGEST_LATENCY_CYCLES = 1_023
_CROSSINGS = 100_000  # as many as MULTI measured on each link: its extremes are rare
_FAR_APART_CYCLES = 10_000


class LinkRate(NamedTuple):
    """The shortest interval between two Sends that the machine takes, and the bytes a cycle that then arrive."""

    interval_cycles: int
    bytes_per_cycle: float


class LinkLatency(NamedTuple):
    """Cycles of many crossings, and the earliest Receive that got a vector in a program that was run."""

    least_cycles: int
    most_cycles: int
    mean_cycles: float
    earliest_receive_cycles: int


def measure_link_rate(chip: ChipSpec) -> LinkRate:
    """Two chips send to each other over one link; counted are the vectors that arrive, one way."""

    def is_taken(interval_cycles: int) -> bool:
        return is_accepted(build_exchange(chip, 2, interval_cycles, _wait(chip, interval_cycles)), chip)

    interval_cycles = find_first(is_taken, 1, _LONGEST_INTERVAL_CYCLES)
    recording = Recording(build_exchange(chip, _VECTORS, interval_cycles, _wait(chip, interval_cycles)), chip)
    received = [dispatch for dispatch in recording.select(Receive) if dispatch.chip == 0]
    steady, cycles = count_steadily(received)
    return LinkRate(interval_cycles, len(steady) * recording.outputs["y0"][0].nbytes / cycles)


def measure_link_latency(chip: ChipSpec) -> LinkLatency:
    """Crossings drawn one by one from a link's jitter, as its programs meet it, and one program's earliest Receive."""
    channel, vector = Channel(chip, (0, 0, 0)), Vector(np.zeros(chip.lanes, np.uint8))
    for crossing in range(_CROSSINGS):
        channel.send(crossing * _FAR_APART_CYCLES, vector)
    latencies = [flight.arrival_hac - place * _FAR_APART_CYCLES for place, flight in enumerate(channel.flights)]
    earliest = find_first(
        lambda cycles: is_accepted(build_exchange(chip, 1, 1, cycles), chip), 1, _LONGEST_LATENCY_CYCLES
    )
    return LinkLatency(min(latencies), max(latencies), float(np.mean(latencies)), earliest)


def _wait(chip: ChipSpec, interval_cycles: int) -> int:
    """The longest latency, or a cycle more where a Receive would otherwise meet a Send in their queue."""
    latency_cycles = chip.c2c_max_latency_cycles
    return latency_cycles + ((latency_cycles + chip.timing("Send").skew) % interval_cycles == 0)


def build_exchange(chip: ChipSpec, vectors: int, interval_cycles: int, latency_cycles: int) -> Case:
    """Both chips send `vectors` over link 0 and take each of them `latency_cycles` after it was sampled."""
    schedule, regions = Schedule(chip, chips=2), list[Region]()
    source, target = (f"MEM_W{chip.slices_each_side - place}" for place in (1, 2))
    received_cycle = chip.timing("Send").skew + latency_cycles
    for here in range(2):

        def place(queue: str, cycle: int, instruction: Read | Write | Send | Receive, on_chip: int = here) -> None:
            schedule.place(queue, cycle, instruction, count=vectors, distance=interval_cycles, on_chip=on_chip)

        place(source, schedule.read_for(source, "SXM_W", chip.timing("Send").skew), Read(0, Stream("W", 0), 1))
        place("C2C0", 0, Send(Stream("W", 0)))
        place("C2C0", received_cycle, Receive(Stream("E", 0)))
        written_cycle = received_cycle + chip.timing("Receive").func + schedule.hops("SXM_W", target)
        place(target, written_cycle, Write(0, Stream("E", 0), 1))
        regions.append(Region(f"x{here}", "input", DataType.UINT8, vectors, chip.lanes, (source,), 0, chip=here))
        regions.append(Region(f"y{here}", "output", DataType.UINT8, vectors, chip.lanes, (target,), 0, chip=here))
    random = np.random.default_rng(vectors)
    inputs = {f"x{here}": random.integers(0, 256, (vectors, chip.lanes), np.uint8) for here in range(2)}
    program = schedule.build("two chips", regions, [Link(0, 0, 1, 0)])
    return Case(program, inputs, lambda x: {"y0": x["x1"].copy(), "y1": x["x0"].copy()})
