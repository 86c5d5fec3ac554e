"""Strategies for programs that are nearly right: chains that run at once, with now and then something out of place."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec, Queue
from lpu_backend.isa.instructions import (
    Config,
    Gather,
    Instruction,
    MemPair,
    Nop,
    Notify,
    Read,
    Repeat,
    Scatter,
    Sync,
    Write,
)
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.isa.program import Program, Region
from tests.lpu_backend.random_chains import (
    BANK,
    DATA_ROWS,
    FLOOR,
    GATHER_ROW,
    MEM_SLICES,
    OUTPUT_ROWS,
    PERMUTATION_ROW,
    SCATTER_ROW,
    SMALL,
    ZERO_ROW,
    Step,
    compute_elements,
    copy_vector,
    gather_words,
    pair_accesses,
    race_results,
    rearrange_lanes,
    relay_vector,
    scatter_words,
)
from tests.lpu_backend.random_products import multiply_matrix

CHAINS = (
    copy_vector,
    pair_accesses,
    relay_vector,
    gather_words,
    scatter_words,
    compute_elements,
    compute_elements,
    compute_elements,
    race_results,
    rearrange_lanes,
    rearrange_lanes,
    multiply_matrix,
)
Queues = dict[str, tuple[Instruction, ...]]


@dataclass(frozen=True)
class RandomProgram:
    """A program for the chip SMALL with its inputs, made from `seed`."""

    program: Program
    seed: int

    @property
    def inputs(self) -> dict[str, NDArray[np.generic]]:
        return make_inputs(self.seed)

    def __repr__(self) -> str:
        return f"RandomProgram(seed {self.seed}: {self.program.queues[0]})"

    @property
    def gathers(self) -> bool:
        """Whether addresses depend on data."""
        words = [word for queue in self.program.queues[0].values() for word in queue]
        return any(isinstance(word, Gather | Scatter) for word in words)


def list_regions() -> tuple[Region, ...]:
    """Rows of both banks of every slice: some to be read, some to be written. The rows after them hold nothing yet."""
    rows = OUTPUT_ROWS[-1] + 1
    return tuple(
        Region(f"{name}_{bank}", "input", DataType.UINT8, rows, SMALL.lanes, (name,), bank)
        for name in MEM_SLICES
        for bank in (0, BANK)
    )


REGIONS = list_regions()


def make_inputs(seed: int) -> dict[str, NDArray[np.generic]]:
    """Random bytes (for an odd seed such that no float is NaN or infinite), and rows that the chains' maps use."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, NDArray[np.generic]] = {}
    permutation = rng.permutation(SMALL.lanes)
    data, output = [*DATA_ROWS, BANK, BANK + 1], [*OUTPUT_ROWS, OUTPUT_ROWS[0] + BANK]
    for region in REGIONS:
        rows = rng.integers(0, 256, (region.rows, SMALL.lanes), dtype=np.uint8)
        rows &= np.uint8(0xFB if seed % 2 else 0xFF)  # bit 2 of a highest byte is one of the exponent's
        rows[PERMUTATION_ROW], rows[ZERO_ROW] = permutation, 0
        rows[GATHER_ROW], rows[SCATTER_ROW] = rng.choice(data, SMALL.lanes), rng.choice(output, SMALL.lanes)
        inputs[region.name] = rows
    return inputs


def lay_out(steps: Iterable[Step], start: int = 0, before: tuple[Instruction, ...] = ()) -> tuple[Instruction, ...]:
    """One queue's instructions, with NOPs so that each goes in its cycle. `before` ends at `start`."""
    words, cycle = list(before), start
    for step in sorted(steps, key=lambda step: step.cycle):
        if step.cycle > cycle:
            words.append(Nop(step.cycle - cycle))
        words += [step.instruction, *([step.repeat] if step.repeat else [])]
        cycle = step.busy_cycles[-1] + 1
    return tuple(words)


def make_program(queues: Mapping[str, tuple[Instruction, ...]], chip: ChipSpec = SMALL) -> Program:
    return Program("random", (dict(queues),), REGIONS)


class Schedule:
    """Steps of all chains; no queue has two instructions in one cycle."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def is_free(self, steps: list[Step]) -> bool:
        busy = [(step.queue, cycle) for step in [*self.steps, *steps] for cycle in step.busy_cycles]
        return len(set(busy)) == len(busy)

    def place(self, make_steps: Callable[[int], list[Step]], earliest: int) -> None:
        """At the earliest cycle at which the queues have room, if one comes soon."""
        for cycle in range(earliest, earliest + 12):
            if self.is_free(make_steps(cycle)):
                self.steps += make_steps(cycle)
                return

    def place_one(self, step: Step) -> None:
        self.place(lambda cycle: [replace(step, cycle=cycle)], step.cycle)

    def queues(self) -> dict[str, list[Step]]:
        by_queue: dict[str, list[Step]] = {}
        for step in self.steps:
            by_queue.setdefault(step.queue, []).append(step)
        return by_queue


def draw_schedule(rng: Random) -> Schedule:
    """One to five chains at random cycles; sometimes a tile less for a queue, sometimes one thing out of place."""
    schedule = Schedule()
    for _ in range(rng.randint(1, 5)):
        chain = rng.choice(CHAINS)(rng)
        if chain.fits:
            schedule.place(chain.begin_at, rng.randrange(25))
    while schedule.steps and rng.random() > 0.8:
        step = rng.choice(schedule.steps)
        config = Step(step.queue, rng.randint(0, step.cycle + 1), Config(rng.randint(1, SMALL.tiles)))
        schedule.place_one(config)
    if schedule.steps and rng.random() > 0.75:
        perturb(rng, schedule)
    if not schedule.steps:
        schedule.place(copy_vector(rng).begin_at, 0)
    return schedule


def perturb(rng: Random, schedule: Schedule) -> None:
    """Moves, alters or drops one step, or has it done twice, by the same queue or by one at the same place."""
    step = schedule.steps.pop(rng.randrange(len(schedule.steps)))
    choice = rng.randrange(5)
    moved = replace(step, cycle=max(0, step.cycle + rng.choice([-1, 1])))
    if choice == 0 and schedule.is_free([moved]):
        schedule.steps.append(moved)
    elif choice == 1:
        schedule.steps.append(replace(step, instruction=alter_operand(rng, step.instruction)))
    elif choice == 2:
        schedule.steps.append(step)
        schedule.place_one(replace(step, cycle=step.cycle + 1))
    elif choice == 3:
        schedule.steps.append(step)
        others = [queue.name for queue in FLOOR.queues.values() if is_twin(queue, FLOOR.queues[step.queue])]
        twins = [replace(step, queue=name) for name in others]
        schedule.steps += [twin for twin in twins if schedule.is_free([twin])][:1]


def is_twin(one: Queue, other: Queue) -> bool:
    """Whether both have the same instructions and the same stream registers."""
    return one != other and (one.unit, one.position) == (other.unit, other.position)


def alter_operand(rng: Random, instruction: Instruction) -> Instruction:
    """Another stream, or another address."""
    if isinstance(instruction, MemPair):
        return MemPair(alter_operand(rng, instruction.first), instruction.second)
    if isinstance(instruction, Read | Write) and rng.random() < 0.5:
        other_bank = (instruction.address + BANK) % SMALL.mem_addresses
        return replace(instruction, address=rng.choice([other_bank, rng.randint(0, SMALL.mem_addresses)]))
    for name in ("stream", "source", "destination", "south", "map_stream", "left", "right"):
        stream = getattr(instruction, name, None)
        if isinstance(stream, Stream):
            other = Stream(rng.choice("EW"), rng.randrange(SMALL.streams_each_way))
            return replace(instruction, **{name: other})
    return instruction


def lay_out_with_barrier(rng: Random, schedule: Schedule) -> Queues:
    """Some queues begin with Sync, one with Notify; all others wait for the release with NOPs."""
    by_queue = schedule.queues()
    notify_cycle = rng.randrange(4)
    release = notify_cycle + SMALL.barrier_cycles
    herald = rng.choice(list(FLOOR.queues))
    queues: Queues = {}
    for name in {herald: None, **by_queue}:
        steps = [replace(step, cycle=step.cycle + release) for step in by_queue.get(name, [])]
        if name == herald:
            queues[name] = lay_out([Step(name, notify_cycle, Notify()), *steps])
        elif rng.random() < 0.5:
            wait = rng.randint(0, release)  # at the release itself it is too late
            queues[name] = lay_out(steps, release, (*((Nop(wait),) if wait else ()), Sync()))
        else:
            queues[name] = lay_out(steps)
    return queues


def draw_chained_queues(rng: Random) -> Queues:
    schedule = draw_schedule(rng)
    if rng.random() > 0.8:
        return lay_out_with_barrier(rng, schedule)
    return {name: lay_out(steps) for name, steps in schedule.queues().items()}


def draw_any_queues(rng: Random) -> Queues:
    """Short queues of instructions that belong to their units and may have nothing to do with one another."""
    queues: Queues = {}
    for _ in range(rng.randint(1, 6)):
        step = rng.choice(rng.choice(CHAINS)(rng).steps)
        controls = [Nop(rng.randint(1, 9)), Repeat(rng.randint(1, 2), 1), Sync(), Notify(), Config(1)]
        words = (step.instruction, *rng.choices(controls, k=rng.choice([0, 0, 1, 2])))
        queues[step.queue] = queues.get(step.queue, ()) + words
    return queues


def draw_program(rng: Random) -> RandomProgram:
    queues = draw_chained_queues(rng) if rng.random() < 0.9 else draw_any_queues(rng)
    return RandomProgram(make_program(queues), rng.randrange(1000))


@st.composite
def random_programs(draw: st.DrawFn) -> RandomProgram:
    """Programs for the chip SMALL, most of which run without a hazard. Half come from draws that can shrink."""
    return draw_program(draw(st.randoms(use_true_random=False) | st.randoms(use_true_random=True)))
