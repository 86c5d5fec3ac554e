"""Chains of instructions that meet: Reads, a unit, Writes, each in the cycle in which its operands pass.

A chain is written in cycles of its own; `Chain.begin_at` moves it. Its cycles come from positions and the timing table.
"""

from dataclasses import dataclass, replace
from random import Random

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.isa.instructions import (
    BINARY_OPS,
    TRANSCENDENTAL_OPS,
    UNARY_OPS,
    Accumulate,
    ActivationBuffer,
    Binary,
    Convert,
    Distribute,
    Gather,
    InstallWeights,
    Instruction,
    LoadWeights,
    MemPair,
    Permute,
    Read,
    Repeat,
    Rotate,
    Scatter,
    Select,
    Shift,
    SxmInstruction,
    Transpose,
    Unary,
    Write,
)
from lpu_backend.isa.operands import AluResult, DataType, Direction, Immediate, Source, Stream, mesh_neighbours

SMALL = ChipSpec(name="small", tiles=3, mem_slices=8, streams_each_way=16, mem_addresses=64)
FLOOR = plan_floor(SMALL)
MEM_SLICES = tuple(name for name in FLOOR.positions if name.startswith("MEM"))

# Every slice holds, in both banks, the same kinds of rows; the second bank begins at BANK.
BANK = 32
DATA_ROWS = range(8)
PERMUTATION_ROW, ZERO_ROW, GATHER_ROW, SCATTER_ROW, ANY_ROW = range(8, 13)
OUTPUT_ROWS = range(16, 24)
BITWISE_OPS = frozenset({"And", "Or", "Xor", "Not", "Shl", "Shr"})


@dataclass(frozen=True)
class Step:
    """One instruction at its cycle, with the Repeat that follows it."""

    queue: str
    cycle: int
    instruction: Instruction
    repeat: Repeat | None = None

    @property
    def busy_cycles(self) -> range:
        """Cycles in which the queue can dispatch nothing else."""
        more = self.repeat.count * self.repeat.distance if self.repeat else 0
        return range(self.cycle, self.cycle + more + 1)


class Chain:
    """Steps in cycles of their own. With a Repeat every step has it, so that the whole chain runs again.

    `fits` is false if no slice was free for an operand.
    """

    def __init__(self, rng: Random, repeat: Repeat | None = None) -> None:
        self.rng = rng
        self.repeat = repeat
        self.steps: list[Step] = []
        self.fits = True

    def add(self, queue: str, cycle: int, instruction: Instruction) -> None:
        self.steps.append(Step(queue, cycle, instruction, self.repeat))

    def begin_at(self, cycle: int) -> list[Step]:
        first_cycle = min(step.cycle for step in self.steps)
        return [replace(step, cycle=step.cycle - first_cycle + cycle) for step in self.steps]

    def list_used(self) -> set[tuple[str, int]]:
        return {(step.queue, cycle) for step in self.steps for cycle in step.busy_cycles}

    def stream(self, direction: Direction | None = None, count: int = 1) -> Stream:
        """The first of an aligned group of streams."""
        groups = SMALL.streams_each_way // count
        return Stream(direction or self.direction(), self.rng.randrange(groups) * count)

    def direction(self) -> Direction:
        return "E" if self.rng.random() < 0.5 else "W"

    def step_field(self) -> int:
        return self.rng.randrange(2) if self.repeat else 0

    def read(self, stream: Stream, position: int, cycle: int, row: int | None = None) -> None:
        """A Read whose vector passes `position` in `cycle`, from `row` or any data, if a slice is free."""
        step = self.step_field() if row is None else 0
        address = (self.rng.choice(DATA_ROWS) if row is None else row) + BANK * self.rng.randrange(2)
        used = self.list_used()
        places = []
        for name in MEM_SLICES:
            distance = measure_distance(stream.direction, FLOOR.positions[name], position)
            dispatch = cycle - SMALL.timing("Read").func - distance
            if distance >= 0 and (name, dispatch) not in used:
                places.append((name, dispatch))
        self.fits = self.fits and bool(places)
        if places:
            queue, dispatch = self.rng.choice(places)
            self.add(queue, dispatch, Read(address, stream, step))

    def read_group(self, first: Stream, count: int, position: int, cycle: int) -> None:
        for i in range(count):
            self.read(Stream(first.direction, first.index + i), position, cycle)

    def read_map(self, first: Stream, position: int, cycle: int, row: int) -> None:
        """A uint16 map of small numbers: its high bytes are zero."""
        self.read(first, position, cycle, row)
        self.read(Stream(first.direction, first.index + 1), position, cycle, ZERO_ROW)

    def read_sixteen(self, direction: Direction, position: int, cycle: int) -> None:
        """16 vectors that pass an end of the chip in one cycle: two from each slice, a bank each."""
        indices = list(range(16))
        self.rng.shuffle(indices)
        for name in MEM_SLICES:
            reads = [
                Read(self.rng.choice(DATA_ROWS) + bank, Stream(direction, indices.pop()), self.step_field())
                for bank in (0, BANK)
            ]
            distance = measure_distance(direction, FLOOR.positions[name], position)
            self.add(name, cycle - SMALL.timing("Read").func - distance, MemPair(*reads))

    def write(self, stream: Stream, position: int, cycle: int) -> None:
        """A Write of the vector that is at `position` in `cycle`, in a slice that it comes by later."""
        distances = {name: measure_distance(stream.direction, position, FLOOR.positions[name]) for name in MEM_SLICES}
        used = self.list_used()
        places = [
            (name, cycle + far) for name, far in distances.items() if far >= 0 and (name, cycle + far) not in used
        ]
        if places:
            queue, dispatch = self.rng.choice(places)
            address = self.rng.choice(OUTPUT_ROWS) + BANK * self.rng.randrange(2)
            self.add(queue, dispatch, Write(address, stream, self.step_field()))

    def write_some(self, first: Stream, count: int, position: int, cycle: int) -> None:
        """Some of a group, at least one."""
        chosen = self.rng.sample(range(count), self.rng.randint(1, min(count, 4)))
        for i in chosen:
            self.write(Stream(first.direction, first.index + i), position, cycle)


def measure_distance(direction: Direction, start: int, end: int) -> int:
    """Cycles from one position to another on a stream; negative if it flows the other way."""
    return end - start if direction == "E" else start - end


def draw_repeat(rng: Random, shortest_distance: int = 1) -> Repeat | None:
    return Repeat(rng.randint(1, 3), rng.randint(shortest_distance, 3)) if rng.random() < 0.3 else None


def draw_delay(rng: Random) -> int:
    """Mostly none; now and then one cycle too early."""
    return rng.choices([0, 1, -1], [60, 37, 3])[0]


def copy_vector(rng: Random) -> Chain:
    """Read -> Write."""
    chain = Chain(rng, draw_repeat(rng))
    stream = chain.stream()
    position = FLOOR.positions[rng.choice(MEM_SLICES)]
    chain.read(stream, position, 0)
    chain.write(stream, position, 0)
    return chain


def pair_accesses(rng: Random) -> Chain:
    """A Write and a Read in one word, in both banks of a slice."""
    chain = Chain(rng, draw_repeat(rng))
    name = rng.choice(MEM_SLICES)
    taken, given = chain.stream(), chain.stream()
    read = Read(rng.choice(DATA_ROWS), given, chain.step_field())
    write = Write(rng.choice(OUTPUT_ROWS) + BANK, taken, chain.step_field())
    chain.add(name, 0, MemPair(read, write) if rng.random() < 0.5 else MemPair(write, read))
    chain.read(taken, FLOOR.positions[name], 0)
    chain.write(given, FLOOR.positions[name], SMALL.timing("Read").func)
    return chain


def gather_words(rng: Random) -> Chain:
    chain = Chain(rng, draw_repeat(rng))
    name = rng.choice(MEM_SLICES)
    position = FLOOR.positions[name]
    map_stream, stream = chain.stream(count=2), chain.stream()
    chain.add(name, 0, Gather(stream, map_stream))
    chain.read_map(map_stream, position, 0, GATHER_ROW)
    chain.write(stream, position, SMALL.timing("Gather").func)
    return chain


def scatter_words(rng: Random) -> Chain:
    chain = Chain(rng, draw_repeat(rng))
    name = rng.choice(MEM_SLICES)
    position = FLOOR.positions[name]
    map_stream = chain.stream(count=2)
    stream = Stream(map_stream.direction, (map_stream.index + 2) % SMALL.streams_each_way)
    chain.add(name, 0, Scatter(stream, map_stream))
    chain.read_map(map_stream, position, 0, SCATTER_ROW)
    chain.read(stream, position, 0)
    return chain


def compute_elements(rng: Random) -> Chain:
    """One to three VXM operations, each of which reads the one before it."""
    chain = Chain(rng, draw_repeat(rng))
    alu, cycle, dtype = rng.randrange(16), 0, rng.choice(list(DataType))
    before: AluResult | None = None
    operations = rng.randint(1, 3)
    position = FLOOR.positions["VXM"]
    for place in range(operations):
        instruction, dtype, func = draw_operation(chain, alu, cycle, dtype, before)
        if place == operations - 1 or rng.random() < 0.2:
            instruction = replace(instruction, destination=chain.stream(count=dtype.streams))
            chain.write_some(instruction.destination, dtype.streams, position, cycle + func)
        chain.add(f"VXM{alu}", cycle, instruction)
        before = AluResult(alu)
        cycle += func - 1 + draw_delay(rng)
        alu = rng.choice(sorted(mesh_neighbours(alu)))
    return chain


def draw_operation(
    chain: Chain, alu: int, cycle: int, dtype: DataType, before: AluResult | None
) -> tuple[Unary | Binary | Convert, DataType, int]:
    """An operation on elements of `dtype` without destination, the type of its result, and its d_func."""
    rng = chain.rng
    first: Source = before or draw_source(chain, cycle, dtype)
    choice = rng.randrange(3)
    if choice == 0:
        to_type = rng.choice(list(DataType))
        return Convert(dtype, to_type, first, None), to_type, SMALL.timing("Convert").func
    if choice == 1:
        ops = [op for op in UNARY_OPS if op not in (BITWISE_OPS if dtype.is_float else TRANSCENDENTAL_OPS)]
        op = rng.choice(ops)
        name = "Transcendental" if op in TRANSCENDENTAL_OPS else "Pointwise"
        return Unary(op, dtype, first, None), dtype, SMALL.timing(name).func
    binary_op = rng.choice([op for op in BINARY_OPS if not (dtype.is_float and op in BITWISE_OPS)])
    second = draw_source(chain, cycle, dtype)
    left, right = (first, second) if rng.random() < 0.5 else (second, first)
    return Binary(binary_op, dtype, left, right, None), dtype, SMALL.timing("Pointwise").func


def draw_source(chain: Chain, cycle: int, dtype: DataType) -> Source:
    """An immediate, or a stream group whose Reads are added. A group that the slices cannot feed is not drawn."""
    if chain.rng.random() < 0.2:
        return Immediate(chain.rng.choice([0, 1, 2, 0x3C00, 0x3F800000, 0xFFFFFFFF, 0x80000000, 0x7F]))
    position = FLOOR.positions["VXM"]
    sampled = cycle + SMALL.timing("Pointwise").skew
    stream = chain.stream(count=dtype.streams)
    before = list(chain.steps)
    chain.read_group(stream, dtype.streams, position, sampled)
    if not chain.fits:
        chain.steps, chain.fits = before, True
        return Immediate(5)
    return stream


def rearrange_lanes(rng: Random) -> Chain:
    """Reads -> an SXM unit -> Writes."""
    chain = Chain(rng, draw_repeat(rng))
    side: Direction = chain.direction()
    position = FLOOR.positions[f"SXM_{side}"]
    unit, instruction, sources, results = draw_rearrangement(chain, side)
    timing = SMALL.timing(instruction.mnemonic)
    chain.add(f"SXM_{side}_{unit}", 0, instruction)
    if isinstance(instruction, Transpose):
        chain.read_sixteen(side, position, timing.skew)
    for stream in sources:
        chain.read(stream, position, timing.skew)
    if isinstance(instruction, Permute):
        row = PERMUTATION_ROW if rng.random() < 0.9 else ANY_ROW
        chain.read_map(instruction.map_stream, position, timing.skew, row)
    chain.write_some(instruction.destination, results, position, timing.func)
    return chain


def draw_rearrangement(chain: Chain, side: Direction) -> tuple[str, SxmInstruction, list[Stream], int]:
    """The unit, its instruction, the single streams that it samples, and how many it drives."""
    rng = chain.rng
    inward: Direction = "W" if side == "E" else "E"
    source, other, to = chain.stream(side), chain.stream(side), chain.stream(inward)
    shift_unit = rng.choice(["SHIFT0", "SHIFT1"])
    lanes = SMALL.lanes
    choice = rng.randrange(6)
    if choice == 0:
        return shift_unit, Shift(source, rng.randint(-lanes, lanes), to), [source], 1
    if choice == 1:
        return shift_unit, Select(source, other, rng.randint(0, lanes), to), sorted({source, other}), 1
    if choice == 2:
        map_stream = chain.stream(side, count=2)
        source = Stream(side, (map_stream.index + 2) % SMALL.streams_each_way)
        return "PERMUTE", Permute(source, map_stream, to), [source], 1
    if choice == 3:
        lane_map = tuple(rng.randint(0, 16) for _ in range(16))
        return "DISTRIBUTE", Distribute(source, lane_map, to), [source], 1
    if choice == 4:
        size = rng.choice([3, 4])
        return "ROTATE", Rotate(size, source, Stream(inward, 0)), [source], size**2
    return "TRANSPOSE", Transpose(Stream(side, 0), Stream(inward, 0)), [], 16


def multiply_matrix(rng: Random) -> Chain:
    """Loads a plane, or both of a side for fp16, and multiplies one to three vectors into an accumulator."""
    side: Direction = "E" if rng.random() < 0.5 else "W"
    dtype = rng.choice([DataType.INT8, DataType.INT8, DataType.FP16])
    planes = [0, 1] if dtype is DataType.FP16 else [rng.randrange(2)]
    loads = rng.randint(1, 3)
    load = Chain(rng, Repeat(loads - 1, 1) if loads > 1 else None)
    load.read_sixteen(side, FLOOR.positions[f"MXM_{side}{planes[0]}"], 0)
    multiply = Chain(rng)
    for late, plane in enumerate(planes):  # the same vectors reach the outer plane a cycle later
        weights = f"MXM_{side}{plane}_WEIGHTS"
        load.add(weights, late - SMALL.timing("LW").skew, LoadWeights(Stream(side, 0), 0, step=16))
        multiply.steps = load.steps
        rows = rng.choice([16 * loads, rng.randint(1, 16 * loads)])
        multiply.add(weights, late + loads + draw_delay(rng), InstallWeights(rows))
    installed = max(step.cycle for step in multiply.steps) + SMALL.timing("IW").func
    multiply_vectors(multiply, side, planes[0], dtype, installed + draw_delay(rng))
    return multiply


def multiply_vectors(chain: Chain, side: Direction, plane: int, dtype: DataType, sampled: int) -> None:
    rng, name, position = chain.rng, f"MXM_{side}{plane}", FLOOR.positions[f"MXM_{side}{plane}"]
    timing = SMALL.timing(f"ABC.{dtype.value}")
    slot, inward = rng.randrange(SMALL.mxm_accumulators), "W" if side == "E" else "E"
    for time in range(rng.randint(1, 3)):
        x = chain.stream(side, count=dtype.streams)
        chain.read_group(x, dtype.streams, position, sampled)
        chain.add(f"{name}_ABC", sampled - timing.skew, ActivationBuffer(dtype, x))
        to = chain.stream(inward, count=4) if time == 0 or rng.random() < 0.5 else None
        due = sampled - timing.skew + timing.func
        chain.add(f"{name}_ACC", due, Accumulate("add" if time else "new", slot, to))
        if to is not None:
            chain.write_some(to, 4, position, due + SMALL.timing("ACC").func)
        sampled += timing.interval + draw_delay(rng)


CHAINS = (
    copy_vector,
    pair_accesses,
    gather_words,
    scatter_words,
    compute_elements,
    compute_elements,
    compute_elements,
    rearrange_lanes,
    rearrange_lanes,
    multiply_matrix,
)
