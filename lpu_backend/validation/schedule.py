"""Programs from instructions placed at cycles: queues get the NOPs and Repeats that bring each one to its cycle."""

from collections import defaultdict
from collections.abc import Iterable

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.isa.instructions import Instruction, MemPair, Nop, Read, Repeat, Write
from lpu_backend.isa.program import Link, Program, Region
from lpu_backend.isa.repetition import iterate
from lpu_backend.isa.validity import NOT_REPEATABLE

_FEWEST_REPEATED = 3


class Schedule:
    """Instructions by chip, queue and cycle. Cycles may be negative: the earliest becomes 0."""

    def __init__(self, chip: ChipSpec, chips: int = 1) -> None:
        self._chip = chip
        self._positions = plan_floor(chip).positions
        self._placed: list[defaultdict[str, dict[int, Instruction]]] = [defaultdict(dict) for _ in range(chips)]

    def place(
        self, queue: str, cycle: int, instruction: Instruction, *, count: int = 1, distance: int = 1, on_chip: int = 0
    ) -> None:
        """`count` iterations, `distance` cycles apart. Two accesses of a slice in one cycle become a Pair."""
        cycles = self._placed[on_chip][queue]
        for iteration in range(count):
            at, iterated = cycle + iteration * distance, iterate(instruction, iteration)
            cycles[at] = _pair(cycles[at], iterated) if at in cycles else iterated

    def hops(self, slice_a: str, slice_b: str) -> int:
        """Cycles that a vector takes from one slice to another."""
        return abs(self._positions[slice_a] - self._positions[slice_b])

    def read_for(self, slice_name: str, consumer: str, sampled_cycle: int) -> int:
        """The cycle of a Read whose vector `consumer` samples at `sampled_cycle`."""
        return sampled_cycle - self._chip.timing("Read").func - self.hops(slice_name, consumer)

    def build(
        self, name: str, regions: Iterable[Region], links: Iterable[Link] = (), *, repeats: bool = True
    ) -> Program:
        """The program; without `repeats` every dispatch is a word of its own in its queue."""
        first_cycle = min(cycle for queues in self._placed for cycles in queues.values() for cycle in cycles)
        queues = tuple(
            {queue: _fill_queue(cycles, first_cycle, repeats) for queue, cycles in placed.items()}
            for placed in self._placed
        )
        return Program(name, queues, tuple(regions), links=tuple(links))


def _pair(first: Instruction, second: Instruction) -> MemPair:
    if isinstance(first, Read | Write) and isinstance(second, Read | Write):
        return MemPair(first, second)
    raise ValueError(f"{first} and {second} are placed in one cycle of one queue")


def _fill_queue(cycles: dict[int, Instruction], first_cycle: int, repeats: bool) -> tuple[Instruction, ...]:
    placed = sorted(cycles.items(), key=lambda entry: entry[0])
    queue: list[Instruction] = []
    next_cycle, place = first_cycle, 0
    while place < len(placed):
        cycle, instruction = placed[place]
        if cycle > next_cycle:
            queue.append(Nop(cycle - next_cycle))
        queue.append(instruction)
        count, distance = (
            _count_iterations(placed[place:]) if repeats and type(instruction) not in NOT_REPEATABLE else (1, 1)
        )
        if count > 1:
            queue.append(Repeat(count - 1, distance))
        next_cycle, place = cycle + (count - 1) * distance + 1, place + count
    return tuple(queue)


def _count_iterations(placed: list[tuple[int, Instruction]]) -> tuple[int, int]:
    """How many of the instructions from the first on one Repeat makes, and their distance in cycles."""
    first_cycle, first = placed[0]
    distance = placed[1][0] - first_cycle if len(placed) > 1 else 1
    count = 1
    while count < len(placed) and placed[count] == (first_cycle + count * distance, iterate(first, count)):
        count += 1
    return (count, distance) if count >= _FEWEST_REPEATED else (1, 1)
