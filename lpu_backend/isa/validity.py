"""What makes an instruction one of a queue, before any data or time: the rules behind BAD_INSTRUCTION and assembly."""

from collections.abc import Callable, Iterator, Mapping

from lpu_backend.chip import ChipSpec, Queue
from lpu_backend.chip.floorplan import Unit
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Source, Stream, mesh_neighbours

UNIT_INSTRUCTIONS: Mapping[Unit, frozenset[type]] = {
    "MEM": frozenset({isa.Read, isa.Write, isa.Gather, isa.Scatter, isa.MemPair}),
    "VXM": frozenset({isa.Unary, isa.Binary, isa.Convert}),
    "MXM_WEIGHTS": frozenset({isa.LoadWeights, isa.InstallWeights}),
    "MXM_ABC": frozenset({isa.ActivationBuffer}),
    "MXM_ACC": frozenset({isa.Accumulate}),
    "SHIFT": frozenset({isa.Shift, isa.Select}),
    "PERMUTE": frozenset({isa.Permute}),
    "DISTRIBUTE": frozenset({isa.Distribute}),
    "ROTATE": frozenset({isa.Rotate}),
    "TRANSPOSE": frozenset({isa.Transpose}),
    "C2C": frozenset({isa.Send, isa.Receive, isa.Deskew, isa.RuntimeDeskew}),
}
"""The instructions of each unit's queues, beside those that every queue takes."""
CONTROL_INSTRUCTIONS = frozenset({isa.Nop, isa.Ifetch, isa.Sync, isa.Notify, isa.Config, isa.Repeat})
NOT_REPEATABLE = CONTROL_INSTRUCTIONS | {isa.Deskew, isa.RuntimeDeskew}

INTEGER_OPS = frozenset({"And", "Or", "Xor", "Not", "Shl", "Shr"})
FLOAT_OPS = isa.TRANSCENDENTAL_OPS
_GROUPS: Mapping[type, Mapping[str, int | str | Callable[[ChipSpec], int]]] = {
    isa.Ifetch: {"stream": 1},
    isa.Read: {"stream": 1},
    isa.Write: {"stream": 1},
    isa.Gather: {"stream": 1, "map_stream": 2},
    isa.Scatter: {"stream": 1, "map_stream": 2},
    isa.Unary: {"source": "dtype", "destination": "dtype"},
    isa.Binary: {"left": "dtype", "right": "dtype", "destination": "dtype"},
    isa.Convert: {"source": "from_type", "destination": "to_type"},
    isa.LoadWeights: {"stream": lambda chip: chip.mxm_load_streams},
    isa.ActivationBuffer: {"stream": "dtype"},
    isa.Accumulate: {"destination": 4},
    isa.Shift: {"source": 1, "destination": 1},
    isa.Select: {"south": 1, "north": 1, "destination": 1},
    isa.Permute: {"source": 1, "map_stream": 2, "destination": 1},
    isa.Distribute: {"source": 1, "destination": 1},
    isa.Rotate: {"source": 1, "destination": 16},  # 9 or 16 streams, aligned to 16 either way (assumed)
    isa.Transpose: {"source": 16, "destination": 16},
    isa.Send: {"stream": 1},
    isa.Receive: {"stream": 1},
}
"""How many streams an operand's aligned group spans, by itself or of a chip; or the field that holds its type."""

_Bounds = Callable[[ChipSpec], tuple[int, int]]
_COUNT: _Bounds = lambda _: (1, (1 << 16) - 1)  # noqa: E731
_STEP: _Bounds = lambda _: (-(1 << 15), (1 << 15) - 1)  # noqa: E731
_RANGES: Mapping[type, Mapping[str, _Bounds]] = {
    isa.Nop: {"cycles": _COUNT},
    isa.Repeat: {"count": _COUNT, "distance": _COUNT},
    isa.Config: {"superlanes": lambda chip: (1, chip.tiles)},
    isa.Read: {"step": _STEP},
    isa.Write: {"step": _STEP},
    isa.LoadWeights: {"row": lambda chip: (0, chip.lanes - chip.mxm_load_streams), "step": _STEP},
    isa.InstallWeights: {"rows": lambda chip: (0, chip.lanes)},
    isa.Accumulate: {"slot": lambda chip: (0, chip.mxm_accumulators - 1), "step": _STEP},
    isa.Shift: {"lanes": lambda chip: (-chip.lanes, chip.lanes)},
    isa.Select: {"boundary": lambda chip: (0, chip.lanes)},
    isa.Rotate: {"size": lambda _: (3, 4)},
    isa.RuntimeDeskew: {"cycles": _COUNT},
}
"""The least and the greatest value of a number."""


def find_fault(instruction: isa.Instruction, queue: Queue, chip: ChipSpec) -> str | None:
    """Why this queue cannot take this instruction, None if it can.

    Addresses are left to `find_address_fault`, since one past the slice is a hazard of its own (ADDRESS); what a Repeat
    follows is left to `find_repeat_fault`.
    """
    if not is_of_unit(type(instruction), queue.unit):
        return f"{instruction.mnemonic} is not an instruction of queue {queue.name}"
    return next(_list_faults(instruction, queue, chip), None)


def is_of_unit(kind: type, unit: Unit) -> bool:
    """Whether the queues of a unit take instructions of this class."""
    return kind in CONTROL_INSTRUCTIONS or kind in UNIT_INSTRUCTIONS[unit]


def find_address_fault(instruction: isa.Instruction, chip: ChipSpec) -> str | None:
    """Which address of a Read, Write or Pair lies outside the slice, None if all are inside."""
    for access in _list_accesses(instruction):
        if isinstance(access, isa.Read | isa.Write) and not 0 <= access.address < chip.mem_addresses:
            return f"address {access.address:#x} is outside the slice, which ends at {chip.mem_addresses - 1:#x}"
    return None


def find_repeat_fault(previous: isa.Instruction | None) -> str | None:
    """Why a Repeat cannot follow this instruction (None: it is the first), None if it can."""
    if previous is None:
        return "Repeat has no instruction before it"
    if type(previous) in NOT_REPEATABLE:
        return f"Repeat cannot follow {previous.mnemonic}"
    return None


def list_stream_groups(instruction: isa.Instruction, chip: ChipSpec) -> Iterator[tuple[str, Stream, int]]:
    """(field, first stream, streams) of every aligned stream group that an instruction names; a Pair's two in turn."""
    for access in _list_accesses(instruction):
        for field, width in _GROUPS.get(type(access), {}).items():
            value = getattr(access, field)
            if isinstance(value, Stream):
                yield field, value, _count_streams(access, width, chip)


def _count_streams(access: isa.Instruction, width: int | str | Callable[[ChipSpec], int], chip: ChipSpec) -> int:
    if callable(width):
        return width(chip)
    return width if isinstance(width, int) else int(getattr(access, width).streams)


def _list_accesses(instruction: isa.Instruction) -> tuple[isa.Instruction, ...]:
    return (instruction.first, instruction.second) if isinstance(instruction, isa.MemPair) else (instruction,)


def _list_faults(instruction: isa.Instruction, queue: Queue, chip: ChipSpec) -> Iterator[str]:
    for access in _list_accesses(instruction):
        yield from _list_number_faults(access, chip)
    yield from _list_stream_faults(instruction, chip)
    match instruction:
        case isa.Unary(op=op, dtype=dtype, source=source):
            yield from _list_vxm_faults(op, dtype, (source,), queue)
        case isa.Binary(op=op, dtype=dtype, left=left, right=right):
            yield from _list_vxm_faults(op, dtype, (left, right), queue)
        case isa.Convert(from_type=dtype, source=source):
            yield from _list_vxm_faults("Convert", dtype, (source,), queue)
        case isa.ActivationBuffer():
            yield from _list_activation_faults(instruction, queue)
        case isa.Distribute(lane_map=lane_map):
            yield from _list_lane_map_faults(lane_map, chip)
        case _:
            pass


def _list_number_faults(instruction: isa.Instruction, chip: ChipSpec) -> Iterator[str]:
    for field, bounds in _RANGES.get(type(instruction), {}).items():
        least, greatest = bounds(chip)
        value = getattr(instruction, field)
        if not least <= value <= greatest:
            yield f"{field} is {least} to {greatest}, not {value}"


def _list_stream_faults(instruction: isa.Instruction, chip: ChipSpec) -> Iterator[str]:
    last = chip.streams_each_way - 1
    for field, stream, width in list_stream_groups(instruction, chip):
        if not 0 <= stream.index <= last:
            yield f"{field} {stream} is not one of {stream.direction}0 to {stream.direction}{last}"
        if stream.index % width:
            yield f"{field} {stream} is not aligned: its group has {width} streams"
        if stream.index + width - 1 > last:
            yield f"{field} {stream} begins a group of {width} streams that goes past {stream.direction}{last}"


def _list_vxm_faults(op: str, dtype: DataType, sources: tuple[Source, ...], queue: Queue) -> Iterator[str]:
    if op in INTEGER_OPS and dtype.is_float:
        yield f"{op} is for integers, not {dtype.value}"
    if op in FLOAT_OPS and not dtype.is_float:
        yield f"{op} is for fp16 and fp32, not {dtype.value}"
    for source in sources:
        if isinstance(source, AluResult) and source.alu not in mesh_neighbours(queue.part):
            yield f"{source} is no mesh neighbour of {queue.name}"
        if isinstance(source, Immediate) and not 0 <= source.bits < 1 << 32:
            yield f"immediate {source} does not fit 32 bits"


def _list_activation_faults(instruction: isa.ActivationBuffer, queue: Queue) -> Iterator[str]:
    if instruction.dtype not in (DataType.INT8, DataType.FP16):
        yield f"ABC is for int8 and fp16, not {instruction.dtype.value}"
    if instruction.dtype is DataType.FP16 and not queue.slice_name.endswith("0"):
        yield f"ABC.fp16 is for the inner plane, which {queue.slice_name} is not"


def _list_lane_map_faults(lane_map: tuple[int, ...], chip: ChipSpec) -> Iterator[str]:
    if len(lane_map) != chip.lanes_per_tile:
        yield f"the map names {len(lane_map)} lanes, not {chip.lanes_per_tile}"
    for lane in lane_map:
        if lane != isa.ZERO_LANE and not 0 <= lane < chip.lanes_per_tile:
            yield f"the map names lane {lane}, which is not 0 to {chip.lanes_per_tile - 1}"
