"""From templates to a program: what each chip's queues hold, for every layer in turn.

A template is written out with its cycles moved to where it begins and its addresses to the layer's; the rows of the
cache that a step stores are put in here, since a template serves every position.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.template import Run, Template
from lpu_backend.compiler.vector_program import StoreRow
from lpu_backend.isa.instructions import Instruction, Nop, Read, Repeat, Write
from lpu_backend.isa.repetition import iterate
from lpu_backend.network.prologue import begin_together

_MAX_COUNT = (1 << 16) - 1


@dataclass(frozen=True)
class Placed:
    """A template that begins in `begin_cycle`, for the layer of that place in its kind. `stored_rows`: of the program's
    StoreRows by their place among its operations, where they differ from the template's."""

    template: Template
    begin_cycle: int
    ordinal: int = 0
    stored_rows: Mapping[int, int] | None = None


def list_stored_rows(template: Template) -> dict[int, int]:
    """The rows that the template's own program stores to."""
    return {
        place: operation.row
        for place, operation in enumerate(template.program.operations)
        if isinstance(operation, StoreRow)
    }


def write_queues(
    placed: Sequence[Placed], member: int, chip: ChipSpec, *, is_aligned: bool
) -> dict[str, tuple[Instruction, ...]]:
    """Queues of one chip of the group. If aligned with others, cycles count from the barrier of a prologue."""
    by_queue: defaultdict[str, list[Run]] = defaultdict(list)
    for each in placed:
        for run in list_runs(each, member, chip):
            by_queue[run.queue].append(run)
    bodies = {queue: tuple(_write_queue(runs)) for queue, runs in by_queue.items()}
    return begin_together(bodies) if is_aligned else bodies


def list_runs(placed: Placed, member: int, chip: ChipSpec) -> Iterator[Run]:
    """A template's runs on one chip, with cycles and addresses as they are there."""
    template, load = placed.template, chip.mxm_load_streams
    for begin_cycle, window in template.windows:
        for queue, timed in window.queues(member).items():
            for cycle, instruction in timed.items():
                yield Run(queue, placed.begin_cycle + begin_cycle + cycle, instruction)
    rows = placed.stored_rows if placed.stored_rows is not None else list_stored_rows(template)
    for run in template.runs:
        further = 0
        if run.scope == "layer":
            further = placed.ordinal * template.placement.layer_stride.get(run.queue, 0)
        if run.stored is not None:
            row = rows[run.stored]
            if row % load != run.stored_row:
                continue
            further += row // load
        yield replace(run, cycle=run.cycle + placed.begin_cycle, instruction=_move(run.instruction, further))


def _move(instruction: Instruction, further: int) -> Instruction:
    if further and isinstance(instruction, Read | Write):
        return replace(instruction, address=instruction.address + further)
    return instruction


def _write_queue(runs: Sequence[Run]) -> Iterator[Instruction]:
    next_cycle = 0
    for run in _separate(runs):
        while (wait_cycles := min(run.cycle - next_cycle, _MAX_COUNT)) > 0:
            yield Nop(wait_cycles)
            next_cycle += wait_cycles
        yield run.instruction
        if run.count:
            yield Repeat(run.count, run.distance)
        next_cycle = run.cycle + run.count * run.distance + 1


def _separate(runs: Sequence[Run]) -> list[Run]:
    """In the order of cycles; a run into which another one falls is taken apart."""
    ordered = sorted(runs, key=lambda run: run.cycle)
    apart: list[Run] = []
    reach = -1
    for place, run in enumerate(ordered):
        end = run.cycle + run.count * run.distance
        is_alone = run.cycle > reach and (place + 1 == len(ordered) or ordered[place + 1].cycle > end)
        reach = max(reach, end)
        if run.count == 0 or is_alone:
            apart.append(run)
        else:
            apart += _take_apart(run)
    return sorted(apart, key=lambda run: run.cycle)


def _take_apart(run: Run) -> Iterator[Run]:
    for place in range(run.count + 1):
        instruction = iterate(run.instruction, place)
        if isinstance(instruction, Read | Write):
            instruction = replace(instruction, step=0)
        yield replace(run, cycle=run.cycle + place * run.distance, instruction=instruction, count=0)
