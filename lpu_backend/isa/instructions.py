"""The instruction set (TSP, table of instructions; counters from MULTI), one frozen class an instruction.

`step` is what a field grows by in each iteration of a following Repeat (assumed; the paper gives Repeat n, d alone).
Where an operand has a type wider than a byte, its Stream names the first of an aligned group, lowest byte first.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from lpu_backend.isa.operands import DataType, Source, Stream

UnaryOp = Literal["Copy", "Negate", "Abs", "Not", "ReLU", "TanH", "Exp", "RSqrt"]
BinaryOp = Literal[
    "Add",
    "AddSat",
    "Sub",
    "SubSat",
    "Mul",
    "MulSat",
    "Max",
    "Min",
    "And",
    "Or",
    "Xor",
    "Shl",
    "Shr",
    "Gt",
    "Ge",
    "Eq",
    "Mask",
]
UNARY_OPS: tuple[UnaryOp, ...] = get_args(UnaryOp)
TRANSCENDENTAL_OPS: frozenset[UnaryOp] = frozenset({"TanH", "Exp", "RSqrt"})
BINARY_OPS: tuple[BinaryOp, ...] = get_args(BinaryOp)
ZERO_LANE = 16
"""In a Distribute's map: this lane becomes zero."""


@dataclass(frozen=True, slots=True)
class Nop:
    """ICU. Wait `cycles` (1 to 65,535)."""

    mnemonic: ClassVar[str] = "NOP"
    cycles: int


@dataclass(frozen=True, slots=True)
class Ifetch:
    """ICU. Take `ifetch_vectors` vectors, a cycle apart, from `stream` as further instructions of this queue."""

    mnemonic: ClassVar[str] = "Ifetch"
    stream: Stream


@dataclass(frozen=True, slots=True)
class Sync:
    """ICU. Park this queue until the next barrier."""

    mnemonic: ClassVar[str] = "Sync"


@dataclass(frozen=True, slots=True)
class Notify:
    """ICU. Release, `barrier_cycles` from now, every queue that is parked by then."""

    mnemonic: ClassVar[str] = "Notify"


@dataclass(frozen=True, slots=True)
class Config:
    """ICU. Power only the southernmost `superlanes` tiles for this queue's further instructions.

    The others drive zeros, count as zero in a sum (to an ACC their part of the product is zero), and keep what their
    memory holds.
    """

    mnemonic: ClassVar[str] = "Config"
    superlanes: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """ICU. Dispatch the instruction before this one `count` times more, `distance` cycles apart."""

    mnemonic: ClassVar[str] = "Repeat"
    count: int
    distance: int


@dataclass(frozen=True, slots=True)
class Read:
    """MEM. The vector at `address` onto `stream`."""

    mnemonic: ClassVar[str] = "Read"
    address: int
    stream: Stream
    step: int = 0


@dataclass(frozen=True, slots=True)
class Write:
    """MEM. The vector on `stream` to `address`."""

    mnemonic: ClassVar[str] = "Write"
    address: int
    stream: Stream
    step: int = 0


@dataclass(frozen=True, slots=True)
class Gather:
    """MEM. In each tile the word at the address in lane 0 of `map_stream` (uint16, two streams) onto `stream`."""

    mnemonic: ClassVar[str] = "Gather"
    stream: Stream
    map_stream: Stream


@dataclass(frozen=True, slots=True)
class Scatter:
    """MEM. In each tile the word on `stream` to the address in lane 0 of `map_stream` (uint16, two streams)."""

    mnemonic: ClassVar[str] = "Scatter"
    stream: Stream
    map_stream: Stream


MemAccess = Read | Write | Gather | Scatter


@dataclass(frozen=True, slots=True)
class MemPair:
    """MEM. Two accesses in one instruction word and cycle, one a bank (assumed: 88 queues serve 2 x 88 banks)."""

    mnemonic: ClassVar[str] = "Pair"
    first: Read | Write
    second: Read | Write


@dataclass(frozen=True, slots=True)
class Unary:
    """VXM. `op` of each element of `source` to this ALU's result register and, if given, onto `destination`."""

    mnemonic: ClassVar[str] = "Unary"
    op: UnaryOp
    dtype: DataType
    source: Source
    destination: Stream | None


@dataclass(frozen=True, slots=True)
class Binary:
    """VXM. `op` of the elements of `left` and `right`, as Unary."""

    mnemonic: ClassVar[str] = "Binary"
    op: BinaryOp
    dtype: DataType
    left: Source
    right: Source
    destination: Stream | None


@dataclass(frozen=True, slots=True)
class Convert:
    """VXM. Elements of `source` to `to_type`: to nearest, ties to even; integers saturate; NaN gives 0."""

    mnemonic: ClassVar[str] = "Convert"
    from_type: DataType
    to_type: DataType
    source: Source
    destination: Stream | None


@dataclass(frozen=True, slots=True)
class LoadWeights:
    """MXM weights. Rows `row` to `row` + 15 of the buffer from 16 streams; row n holds the weights of output n."""

    mnemonic: ClassVar[str] = "LW"
    stream: Stream
    row: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class InstallWeights:
    """MXM weights. The first `rows` rows of the buffer become the array, the others zero; the buffer is empty after."""

    mnemonic: ClassVar[str] = "IW"
    rows: int


@dataclass(frozen=True, slots=True)
class ActivationBuffer:
    """MXM activations. The vector on `stream` times the array.

    `dtype` is INT8, for one plane, or FP16, on the inner plane's queue for both planes of its side.
    """

    mnemonic: ClassVar[str] = "ABC"
    dtype: DataType
    stream: Stream


@dataclass(frozen=True, slots=True)
class Accumulate:
    """MXM results. This cycle's product into accumulator `slot`; that, if given, onto `destination` (four streams)."""

    mnemonic: ClassVar[str] = "ACC"
    mode: Literal["new", "add"]
    slot: int
    destination: Stream | None
    step: int = 0


@dataclass(frozen=True, slots=True)
class Shift:
    """SXM. Lanes move north by `lanes` (south if negative); the lanes left behind become zero."""

    mnemonic: ClassVar[str] = "Shift"
    source: Stream
    lanes: int
    destination: Stream


@dataclass(frozen=True, slots=True)
class Select:
    """SXM shift unit. Lanes below `boundary` from `south`, the others from `north`."""

    mnemonic: ClassVar[str] = "Select"
    south: Stream
    north: Stream
    boundary: int
    destination: Stream


@dataclass(frozen=True, slots=True)
class Permute:
    """SXM. Lane i of the result is lane map[i] of `source`; `map_stream` (uint16, two streams) is a bijection."""

    mnemonic: ClassVar[str] = "Permute"
    source: Stream
    map_stream: Stream
    destination: Stream


@dataclass(frozen=True, slots=True)
class Distribute:
    """SXM. In each tile, lane i of the result is lane lane_map[i] of the same tile, or zero where it is ZERO_LANE."""

    mnemonic: ClassVar[str] = "Distribute"
    source: Stream
    lane_map: tuple[int, ...]
    destination: Stream


@dataclass(frozen=True, slots=True)
class Rotate:
    """SXM. All cyclic rotations of a block of `size` x `size`, which is the first lanes of each tile, row by row.

    Stream `size` * i + j of the group at `destination` holds in row a, column b the source's row (a + i) mod size,
    column (b + j) mod size. Lanes past the block are zero.
    """

    mnemonic: ClassVar[str] = "Rotate"
    size: Literal[3, 4]
    source: Stream
    destination: Stream


@dataclass(frozen=True, slots=True)
class Transpose:
    """SXM. In each tile, lane i of stream j of the result is lane j of stream i of the 16 streams from `source`."""

    mnemonic: ClassVar[str] = "Transpose"
    source: Stream
    destination: Stream


@dataclass(frozen=True, slots=True)
class Send:
    """C2C. The vector on `stream` over this queue's link."""

    mnemonic: ClassVar[str] = "Send"
    stream: Stream


@dataclass(frozen=True, slots=True)
class Receive:
    """C2C. The oldest vector that this queue's link holds onto `stream`."""

    mnemonic: ClassVar[str] = "Receive"
    stream: Stream


@dataclass(frozen=True, slots=True)
class Deskew:
    """C2C. Park until the aligned counter (HAC) wraps; the program's counter (SAC) then stands at that epoch."""

    mnemonic: ClassVar[str] = "Deskew"


@dataclass(frozen=True, slots=True)
class RuntimeDeskew:
    """C2C. Wait `cycles` of the aligned counter: what the chip's clock has drifted is taken off or put on."""

    mnemonic: ClassVar[str] = "RuntimeDeskew"
    cycles: int


ControlInstruction = Nop | Ifetch | Sync | Notify | Config | Repeat
VxmInstruction = Unary | Binary | Convert
MxmInstruction = LoadWeights | InstallWeights | ActivationBuffer | Accumulate
SxmInstruction = Shift | Select | Permute | Distribute | Rotate | Transpose
C2cInstruction = Send | Receive | Deskew | RuntimeDeskew
Instruction = (
    ControlInstruction | MemAccess | MemPair | VxmInstruction | MxmInstruction | SxmInstruction | C2cInstruction
)
