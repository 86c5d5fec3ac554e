"""Hypothesis strategies: any instruction that a word can hold, and any that a given queue takes."""

from typing import Any

from hypothesis import strategies as st

from lpu_backend.chip import GROQCHIP1, ChipSpec, Queue, plan_floor
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Stream, mesh_neighbours
from lpu_backend.isa.validity import FLOAT_OPS, INTEGER_OPS

directions = st.sampled_from(["E", "W"])
dtypes = st.sampled_from(list(DataType))
steps = st.integers(-(1 << 15), (1 << 15) - 1)
counts = st.integers(1, (1 << 16) - 1)
halves = st.integers(0, (1 << 16) - 1)
streams = st.builds(Stream, directions, st.integers(0, 31))
destinations = st.none() | streams
sources = streams | st.builds(AluResult, st.integers(0, 15)) | st.builds(Immediate, st.integers(0, (1 << 32) - 1))


def _encodable() -> st.SearchStrategy[Any]:
    reads = st.builds(isa.Read, halves, streams, steps)
    writes = st.builds(isa.Write, halves, streams, steps)
    lane_maps = st.lists(st.integers(0, 31), min_size=16, max_size=16).map(tuple)
    return st.one_of(
        st.builds(isa.Nop, halves),
        st.builds(isa.Ifetch, streams),
        st.builds(isa.Sync),
        st.builds(isa.Notify),
        st.builds(isa.Config, st.integers(0, 255)),
        st.builds(isa.Repeat, halves, halves),
        reads,
        writes,
        st.builds(isa.Gather, streams, streams),
        st.builds(isa.Scatter, streams, streams),
        st.builds(isa.MemPair, reads | writes, reads | writes),
        st.builds(isa.Unary, st.sampled_from(isa.UNARY_OPS), dtypes, sources, destinations),
        st.builds(isa.Binary, st.sampled_from(isa.BINARY_OPS), dtypes, sources, sources, destinations),
        st.builds(isa.Convert, dtypes, dtypes, sources, destinations),
        st.builds(isa.LoadWeights, streams, halves, steps),
        st.builds(isa.InstallWeights, halves),
        st.builds(isa.ActivationBuffer, dtypes, streams),
        st.builds(isa.Accumulate, st.sampled_from(["new", "add"]), st.integers(0, 255), destinations, steps),
        st.builds(isa.Shift, streams, steps, streams),
        st.builds(isa.Select, streams, streams, halves, streams),
        st.builds(isa.Permute, streams, streams, streams),
        st.builds(isa.Distribute, streams, lane_maps, streams),
        st.builds(isa.Rotate, st.integers(0, 7), streams, streams),
        st.builds(isa.Transpose, streams, streams),
        st.builds(isa.Send, streams),
        st.builds(isa.Receive, streams),
        st.builds(isa.Deskew),
        st.builds(isa.RuntimeDeskew, halves),
    )


encodable_instructions = _encodable()
"""Any instruction that fits its word, whether or not a queue takes it."""


def _groups(width: int) -> st.SearchStrategy[Stream]:
    """The first streams of aligned groups of `width`."""
    return st.builds(Stream, directions, st.integers(0, 32 // width - 1).map(lambda group: group * width))


def _immediates(dtype: DataType) -> st.SearchStrategy[Immediate]:
    """Numbers of a type, and now and then bits above its width."""
    width_bits = 8 * dtype.streams
    return st.builds(Immediate, st.integers(0, (1 << width_bits) - 1) | st.integers(0, (1 << 32) - 1))


@st.composite
def _vxm_instructions(draw: st.DrawFn, alu: int) -> isa.VxmInstruction:
    dtype, to_type = draw(dtypes), draw(dtypes)
    operands = _groups(dtype.streams) | _immediates(dtype)
    operands |= st.sampled_from(sorted(mesh_neighbours(alu))).map(AluResult)
    results = st.none() | _groups(dtype.streams)
    refused = INTEGER_OPS if dtype.is_float else FLOAT_OPS
    unary = st.sampled_from([op for op in isa.UNARY_OPS if op not in refused])
    binary = st.sampled_from([op for op in isa.BINARY_OPS if op not in refused])
    return draw(
        st.builds(isa.Unary, unary, st.just(dtype), operands, results)
        | st.builds(isa.Binary, binary, st.just(dtype), operands, operands, results)
        | st.builds(isa.Convert, st.just(dtype), st.just(to_type), operands, st.none() | _groups(to_type.streams))
    )


def _mem_instructions(chip: ChipSpec) -> st.SearchStrategy[Any]:
    addresses = st.integers(0, chip.mem_addresses - 1)
    accesses = st.builds(isa.Read, addresses, streams, steps) | st.builds(isa.Write, addresses, streams, steps)
    pairs = st.builds(isa.MemPair, accesses, accesses)
    maps = st.builds(isa.Gather, streams, _groups(2)) | st.builds(isa.Scatter, streams, _groups(2))
    return accesses | pairs | maps


def _mxm_abc_instructions(inner: bool) -> st.SearchStrategy[Any]:
    int8 = st.builds(isa.ActivationBuffer, st.just(DataType.INT8), streams)
    return int8 | st.builds(isa.ActivationBuffer, st.just(DataType.FP16), _groups(2)) if inner else int8


def repeatable_instructions(queue: Queue, chip: ChipSpec = GROQCHIP1) -> st.SearchStrategy[Any]:
    """The instructions of a queue's unit that a Repeat may follow."""
    rows = st.integers(0, chip.lanes - 16)
    slots = st.integers(0, chip.mxm_accumulators - 1)
    lanes = st.integers(-chip.lanes, chip.lanes)
    lane_maps = st.lists(st.integers(0, isa.ZERO_LANE), min_size=16, max_size=16).map(tuple)
    by_unit: dict[str, st.SearchStrategy[Any]] = {
        "MEM": _mem_instructions(chip),
        "VXM": _vxm_instructions(queue.part) if queue.unit == "VXM" else st.nothing(),
        "MXM_WEIGHTS": st.builds(isa.LoadWeights, _groups(16), rows, steps)
        | st.builds(isa.InstallWeights, st.integers(0, chip.lanes)),
        "MXM_ABC": _mxm_abc_instructions(queue.slice_name.endswith("0")),
        "MXM_ACC": st.builds(isa.Accumulate, st.sampled_from(["new", "add"]), slots, st.none() | _groups(4), steps),
        "SHIFT": st.builds(isa.Shift, streams, lanes, streams)
        | st.builds(isa.Select, streams, streams, st.integers(0, chip.lanes), streams),
        "PERMUTE": st.builds(isa.Permute, streams, _groups(2), streams),
        "DISTRIBUTE": st.builds(isa.Distribute, streams, lane_maps, streams),
        "ROTATE": st.builds(isa.Rotate, st.sampled_from([3, 4]), streams, _groups(16)),
        "TRANSPOSE": st.builds(isa.Transpose, _groups(16), _groups(16)),
        "C2C": st.builds(isa.Send, streams) | st.builds(isa.Receive, streams),
    }
    return by_unit[queue.unit]


def control_instructions(queue: Queue, chip: ChipSpec = GROQCHIP1) -> st.SearchStrategy[Any]:
    """The instructions that a queue takes and no Repeat may follow, but Repeat itself."""
    control = st.one_of(
        st.builds(isa.Nop, counts),
        st.builds(isa.Ifetch, streams),
        st.builds(isa.Sync),
        st.builds(isa.Notify),
        st.builds(isa.Config, st.integers(1, chip.tiles)),
    )
    deskews = st.builds(isa.Deskew) | st.builds(isa.RuntimeDeskew, counts)
    return control | deskews if queue.unit == "C2C" else control


def queue_contents(
    queue: Queue, chip: ChipSpec = GROQCHIP1, max_size: int = 8
) -> st.SearchStrategy[tuple[isa.Instruction, ...]]:
    """What a queue may hold, each Repeat behind what it may follow; hazards of time and data are as they come."""
    alone = control_instructions(queue, chip).map(lambda instruction: (instruction,))
    work = repeatable_instructions(queue, chip)
    repeated = st.tuples(work, st.builds(isa.Repeat, counts, counts))
    parts = alone | st.tuples(work) | repeated
    return st.lists(parts, max_size=max_size).map(lambda parts: tuple(one for part in parts for one in part))


queues = st.sampled_from(list(plan_floor(GROQCHIP1).queues.values()))


@st.composite
def valid_instructions(draw: st.DrawFn) -> tuple[isa.Instruction, Queue]:
    """An instruction other than Repeat, and a queue that takes it."""
    queue = draw(queues)
    return draw(repeatable_instructions(queue) | control_instructions(queue)), queue
