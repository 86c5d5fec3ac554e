"""Functional delay and operand skew of every operation, in cycles.

For an instruction dispatched at cycle t (all cycles are those of the southernmost tile; tile k is k cycles later):
its operands must stand on the stream registers of its slice at t + skew; its result is driven there at t + func. A
slice at a distance of delta registers sees it delta cycles later, so a chip of N tiles has it in full at
T = N + d_func + delta (TSP, time model). No public table of d_func or d_skew exists. All of these are assumed, but for
the lower bounds that the time model itself sets: what mixes tiles cannot be ready before the northernmost tile is in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class OperationTiming:
    """Cycles from dispatch to result (`func`; 0: none on a stream) and to operands (`skew`), and between issues."""

    func: int
    skew: int
    interval: int
    standing: Literal["published", "derived", "assumed"]
    source: str


def _assume(func: int, skew: int, why: str, interval: int = 1) -> OperationTiming:
    return OperationTiming(func, skew, interval, "assumed", why)


_CROSSES_TILES = "at least the 19 cycles until the last tile is in, and a few stages"

OPERATION_TIMINGS: Mapping[str, OperationTiming] = MappingProxyType(
    {
        # ICU
        "NOP": OperationTiming(0, 0, 1, "published", "TSP: NOP n waits n cycles"),
        "Repeat": OperationTiming(0, 0, 0, "derived", "takes no slot of its own: iterations may be one cycle apart"),
        "Sync": _assume(0, 0, "parks the queue in its own cycle"),
        "Notify": _assume(0, 0, "the barrier's cycles are the chip's barrier_cycles"),
        "Config": _assume(0, 0, "holds from the queue's next instruction on"),
        "Ifetch": _assume(4, 1, "second vector a cycle after the first; dispatchable at func"),
        # MEM
        "Read": _assume(5, 0, "address, array, sense, check bits, drive"),
        "Write": _assume(0, 0, "takes the operand in the cycle of dispatch"),
        "Gather": _assume(6, 0, "a Read, and a cycle for the addresses"),
        "Scatter": _assume(0, 0, "takes operand and addresses in the cycle of dispatch"),
        # VXM
        "Pointwise": _assume(4, 1, "32-bit add, multiply, compare, bitwise, ReLU"),
        "Convert": _assume(4, 1, "as pointwise"),
        "Transcendental": _assume(16, 1, "TanH, Exp, RSqrt: a polynomial of some ten steps"),
        # MXM
        "LW": _assume(0, 1, "rows enter the plane's weight buffer"),
        "IW": _assume(1, 0, "the whole buffer becomes the array at once"),
        "ABC.int8": _assume(32, 1, _CROSSES_TILES),
        "ABC.fp16": _assume(
            34, 1, "a plane pair takes 160 of the 320 terms a cycle (MULTI), so two cycles", interval=2
        ),
        "ACC": _assume(2, 0, "takes the product of its own cycle"),
        # SXM
        "Shift": _assume(23, 1, _CROSSES_TILES),
        "Select": _assume(3, 1, "stays in its tile"),
        "Permute": _assume(26, 1, _CROSSES_TILES),
        "Distribute": _assume(3, 1, "stays in its tile"),
        "Rotate": _assume(4, 1, "stays in its tile"),
        "Transpose": _assume(4, 1, "stays in its tile"),
        # C2C
        "Send": _assume(0, 1, "the link's latency comes on top"),
        "Receive": _assume(2, 0, "from the link's buffer to a stream"),
        "Deskew": _assume(0, 0, "parks until the aligned counter wraps"),
        "RuntimeDeskew": _assume(0, 0, "waits its own count, less the drift"),
    }
)
