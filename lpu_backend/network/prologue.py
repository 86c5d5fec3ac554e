"""Queues from timed instructions: the prologue that aligns the chips, NOPs between, and Repeats where they fit."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.isa.instructions import Deskew, Instruction, Nop, Notify, Read, Receive, Repeat, Send, Sync, Write

_MAX_COUNT = (1 << 16) - 1
_LEADER = "C2C0"
Run = tuple[int, Instruction, int, int]
"""First cycle, instruction, how often more, and how far apart."""


def fill_queues(
    timed: Mapping[str, Mapping[int, Instruction]], *, repeat: bool = True
) -> dict[str, tuple[Instruction, ...]]:
    """A chip's queues: all wait at Sync, C2C0 does Deskew and releases them; from there cycles count.

    `timed` has each queue's instructions by cycle after the barrier. With `repeat`, evenly spaced ones become a Repeat.
    """
    return begin_together(
        {queue: tuple(_write_out(instructions, repeat)) for queue, instructions in timed.items() if instructions}
    )


def begin_together(bodies: Mapping[str, tuple[Instruction, ...]]) -> dict[str, tuple[Instruction, ...]]:
    """A chip's queues whose bodies begin in cycle 0 after the barrier."""
    queues: dict[str, tuple[Instruction, ...]] = {_LEADER: (Deskew(), Notify())}
    for queue, body in bodies.items():
        queues[queue] = (*queues.get(queue, ()), Sync(), *body)
    return queues


def count_prologue_cycles(spec: ChipSpec = GROQCHIP1) -> int:
    """From the start of the chips to cycle 0 after the barrier: the counter wraps once, then Notify takes its time."""
    return spec.hac_period_cycles + spec.barrier_cycles


def _write_out(instructions: Mapping[int, Instruction], repeat: bool) -> Iterator[Instruction]:
    next_cycle = 0
    for cycle, instruction, count, distance_cycles in _list_runs(instructions, repeat):
        while (wait_cycles := min(cycle - next_cycle, _MAX_COUNT)) > 0:
            yield Nop(wait_cycles)
            next_cycle += wait_cycles
        yield instruction
        if count:
            yield Repeat(count, distance_cycles)
        next_cycle = cycle + count * distance_cycles + 1


def _list_runs(instructions: Mapping[int, Instruction], repeat: bool) -> Iterator[Run]:
    cycles = sorted(instructions)
    place = 0
    while place < len(cycles):
        first = instructions[cycles[place]]
        end = _find_end(instructions, cycles, place) if repeat else place + 1
        count = end - place - 1
        if count >= 2:
            distance_cycles = cycles[place + 1] - cycles[place]
            yield cycles[place], _with_step(first, instructions[cycles[place + 1]]), count, distance_cycles
            place = end
        else:
            yield cycles[place], first, 0, 0
            place += 1


def _find_end(instructions: Mapping[int, Instruction], cycles: list[int], begin: int) -> int:
    """Past the last of a run: one distance, one kind, one stream, addresses that grow evenly."""
    if begin + 1 >= len(cycles):
        return begin + 1
    distance_cycles = cycles[begin + 1] - cycles[begin]
    first = _with_step(instructions[cycles[begin]], instructions[cycles[begin + 1]])
    end = begin + 1
    while (
        end < len(cycles)
        and end - begin <= _MAX_COUNT >= distance_cycles
        and cycles[end] - cycles[end - 1] == distance_cycles
        and _nth(first, end - begin) == instructions[cycles[end]]
    ):
        end += 1
    return end


def _with_step(first: Instruction, second: Instruction) -> Instruction:
    if isinstance(first, Read | Write) and isinstance(second, Read | Write):
        return replace(first, step=second.address - first.address)
    return first


def _nth(instruction: Instruction, steps: int) -> Instruction | None:
    """What a Repeat's iteration does, None for what is never repeated here."""
    if isinstance(instruction, Read | Write):
        return replace(instruction, address=instruction.address + steps * instruction.step, step=0)
    return instruction if isinstance(instruction, Send | Receive) else None
