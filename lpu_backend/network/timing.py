"""What a hop costs: the published figures as modes, and the timing by which schedules are made and replayed."""

from dataclasses import dataclass
from enum import Enum

from lpu_backend.chip import GROQCHIP1, ChipSpec, plan_floor


class HopMode(Enum):
    """What a figure for one hop takes in. No two of the published ones measure the same."""

    LINK = "link alone"
    FORWARDED = "hop"
    REDUCED = "hop with a reduction"

    def ns(self, spec: ChipSpec = GROQCHIP1) -> int:
        """241 (derived from MULTI's mean link latency), 300 (SHIP) or 722 (MULTI)."""
        return {
            HopMode.LINK: spec.link_alone_ns,
            HopMode.FORWARDED: spec.hop_ns,
            HopMode.REDUCED: spec.hop_with_reduction_ns,
        }[self]

    def cycles(self, spec: ChipSpec = GROQCHIP1) -> int:
        """The same in whole cycles of the chip's clock: 217, 270 or 650."""
        return round(self.ns(spec) * spec.clock_hz / 1e9)


@dataclass(frozen=True)
class NetworkTiming:
    """Cycles by which vectors move. All chips share them; a schedule counts the cycles of the aligned counter.

    A link takes a vector every `interval_cycles`. `hop_cycles` after it was taken the next chip can use it or hand it
    on over another link of the same side; at the chip's other side it stands `crossing_cycles` later. Links below
    `west_links` are at the west side. A sum of what came in can be sent `reduction_cycles` after its last term came.
    """

    interval_cycles: int
    hop_cycles: int
    crossing_cycles: int
    west_links: int
    reduction_cycles: int

    def is_west(self, link: int) -> bool:
        return link < self.west_links


def time_hops(mode: HopMode, spec: ChipSpec = GROQCHIP1) -> NetworkTiming:
    """By a published figure, into which forwarding from any link to any other is counted (assumed for LINK).

    A reduction is what lacks to MULTI's 722 ns, 0 with `HopMode.REDUCED` itself.
    """
    return NetworkTiming(
        interval_cycles=spec.c2c_vector_interval_cycles,
        hop_cycles=mode.cycles(spec),
        crossing_cycles=0,
        west_links=spec.c2c_links // 2,
        reduction_cycles=HopMode.REDUCED.cycles(spec) - mode.cycles(spec),
    )


def time_chip(spec: ChipSpec = GROQCHIP1, terms: int = 8) -> NetworkTiming:
    """By the emulated chip's instructions, so that a schedule can be lowered to them.

    A hop is the link's largest latency, as nothing earlier is certain, and Receive: 230 cycles. To the other side a
    vector crosses the chip on a stream, 90 positions. A reduction of vectors at SXM_W goes to the VXM and back, 2 x 45
    positions, with one addition for each halving of `terms`, each 3 cycles after the last: 9 for 8 terms.
    """
    positions = plan_floor(spec).positions
    add = spec.timing("Pointwise")
    additions = max(terms - 1, 0).bit_length()
    return NetworkTiming(
        interval_cycles=spec.c2c_vector_interval_cycles,
        hop_cycles=spec.c2c_max_latency_cycles + spec.timing("Receive").func,
        crossing_cycles=positions["SXM_E"] - positions["SXM_W"],
        west_links=spec.c2c_links // 2,
        reduction_cycles=2 * (positions["VXM"] - positions["SXM_W"]) + additions * (add.func - add.skew),
    )
