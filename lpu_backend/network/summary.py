"""A system in figures, for a table or a page."""

from dataclasses import dataclass

import numpy as np

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.network.routes import find_diameter
from lpu_backend.network.timing import HopMode
from lpu_backend.network.topology import CableKind, Topology, build_topology


@dataclass(frozen=True)
class TopologySummary:
    """`bisection_*` is the cut between the lower and the upper half of the chips, nodes or racks: bytes a second each
    way. `far_ns` is the diameter in hops of each mode, without what the chips at the ends do. `between_nodes_hops`
    is 3 where racks are joined: the hops between nodes of a route that takes the one cable between two racks.
    """

    chips: int
    nodes: int
    racks: int
    cables: dict[CableKind, int]
    diameter_hops: int
    between_nodes_hops: int
    sram_bytes: int
    bisection_cables: int
    bisection_bytes_per_second: float
    hop_ns: dict[HopMode, int]
    far_ns: dict[HopMode, int]


def summarise_topology(chips: int, spec: ChipSpec = GROQCHIP1) -> TopologySummary:
    """The figures of a system. TopologyError for a size that no system has."""
    topology = build_topology(chips, spec)
    diameter_hops, cut = find_diameter(topology), _count_bisection(topology)
    return TopologySummary(
        chips=chips,
        nodes=topology.nodes,
        racks=topology.racks,
        cables=_count_cables(topology),
        diameter_hops=diameter_hops,
        between_nodes_hops=0 if topology.nodes == 1 else 3 if topology.has_rack_cables else 1,
        sram_bytes=chips * spec.sram_bytes,
        bisection_cables=cut,
        bisection_bytes_per_second=cut * goodput_bytes_per_second(spec),
        hop_ns={mode: mode.ns(spec) for mode in HopMode},
        far_ns={mode: diameter_hops * mode.ns(spec) for mode in HopMode},
    )


def goodput_bytes_per_second(spec: ChipSpec = GROQCHIP1) -> float:
    """A link's, each way: 320 bytes every 27 cycles of 900 MHz are 10.67 GB/s (SHIP)."""
    return spec.lanes * spec.clock_hz / spec.c2c_vector_interval_cycles


def tabulate_topology(summary: TopologySummary) -> list[tuple[str, str]]:
    """Lines of a table: what, and how much."""
    return [
        ("chips", f"{summary.chips:,}"),
        ("nodes", f"{summary.nodes:,}"),
        ("racks", f"{summary.racks:,}"),
        *((f"cables between {kind.value}", f"{count:,}") for kind, count in summary.cables.items()),
        ("diameter, hops from chip to chip", f"{summary.diameter_hops}"),
        ("cables between nodes on a direct route", f"{summary.between_nodes_hops}"),
        ("SRAM", f"{summary.sram_bytes / 1e9:,.2f} GB"),
        ("cables cut by halving the system", f"{summary.bisection_cables:,}"),
        ("bandwidth of that cut, each way", f"{summary.bisection_bytes_per_second / 1e9:,.1f} GB/s"),
        *(
            (f"{mode.value}: one, and the diameter", f"{ns} ns, {summary.far_ns[mode]:,} ns")
            for mode, ns in summary.hop_ns.items()
        ),
    ]


def _count_cables(topology: Topology) -> dict[CableKind, int]:
    ends = (topology.far_chip >= 0).sum(axis=0).tolist()
    counts = dict.fromkeys(CableKind, 0)
    for link, count in enumerate(ends):
        counts[topology.kind(link)] += count
    return {kind: count // 2 for kind, count in counts.items()}


def _count_bisection(topology: Topology) -> int:
    spec = topology.spec
    unit = 1 if topology.nodes == 1 else spec.chips_per_node * (spec.nodes_per_rack if topology.has_rack_cables else 1)
    boundary = topology.chips // unit // 2 * unit
    lower = topology.far_chip[:boundary]
    return int(np.count_nonzero(lower >= boundary))
