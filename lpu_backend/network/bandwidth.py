"""The bandwidth of an all-reduce in a node over its size, beside the two points that SHIP publishes.

Bandwidth here is the tensor's bytes on one chip, divided by the time from the start until every chip has every sum.
Its bound is what the links allow with no latency at all: each of n chips must send and receive 2 (n - 1) / n of the
tensor (reduce-scatter and all-gather, the least that is possible), over n - 1 links of 320 bytes every 27 cycles. So
the share of the bound is 2 S / n x 27 / 320 cycles, for S bytes, divided by the cycles taken. SHIP does not define its
percentage; that it means this is assumed.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.network.collectives import all_reduce
from lpu_backend.network.timing import HopMode, NetworkTiming, time_chip, time_hops
from lpu_backend.network.topology import build_topology

SHIP_SHARES = {32 << 10: 0.5, 80 << 10: 0.9}
"""Published (SHIP): the share of the bandwidth that an all-reduce of so many bytes reaches in a node."""
CURVE_BYTES = (320, *(1 << power for power in range(10, 17)), 80 << 10, *(1 << power for power in range(17, 21)))


class CurvePoint(NamedTuple):
    """An all-reduce of one size. `share` is of the bound."""

    size_bytes: int
    cycles: int
    share: float
    algorithm: str


def measure_curve(
    timing: NetworkTiming, sizes_bytes: Sequence[int] = CURVE_BYTES, chips: int = 8, spec: ChipSpec = GROQCHIP1
) -> list[CurvePoint]:
    """Schedule an all-reduce of each size on one node, in elements of one byte, and divide."""
    topology = build_topology(chips, spec)
    points = []
    for size_bytes in sizes_bytes:
        collective = all_reduce(topology, -(-size_bytes // spec.lanes), timing)
        bound_cycles = 2 * size_bytes / chips * timing.interval_cycles / spec.lanes
        share = bound_cycles / collective.finish_cycle
        points.append(CurvePoint(size_bytes, collective.finish_cycle, share, collective.name))
    return points


def list_latency_models(spec: ChipSpec = GROQCHIP1) -> dict[str, NetworkTiming]:
    """Names and timings under which the curve is drawn. Only the one called calibrated is fitted, to one point."""
    return {
        "emulated chip": time_chip(spec),
        "published, 241 ns and 722 ns": time_hops(HopMode.LINK, spec),
        "published, 300 ns and 722 ns": time_hops(HopMode.FORWARDED, spec),
        "calibrated": calibrate_reduction(time_hops(HopMode.LINK, spec), spec),
    }


@cache
def calibrate_reduction(timing: NetworkTiming, spec: ChipSpec = GROQCHIP1) -> NetworkTiming:
    """The timing with the fewest reduction cycles that bring 32 KiB down to SHIP's 50 %. A fit of one number."""
    size_bytes, share = next(iter(SHIP_SHARES.items()))
    low_cycles, high_cycles = 0, 1 << 12
    while low_cycles < high_cycles:
        middle_cycles = (low_cycles + high_cycles) // 2
        point = measure_curve(replace(timing, reduction_cycles=middle_cycles), [size_bytes], spec=spec)[0]
        if point.share > share:
            low_cycles = middle_cycles + 1
        else:
            high_cycles = middle_cycles
    return replace(timing, reduction_cycles=low_cycles)
