"""The emulated chip and its network: every figure that this package uses, with where it comes from.

Sources:
  TSP    "Think Fast: A Tensor Streaming Processor (TSP) for Accelerating Deep Learning Workloads", ISCA 2020,
         doi 10.1109/ISCA45697.2020.00023
  MULTI  "A Software-defined Tensor Streaming Multiprocessor for Large-scale Machine Learning", ISCA 2022,
         doi 10.1145/3470496.3527405
  SHIP   MLSys 2026, OpenReview IZaXDwDtL1
  BRIEF  GroqChip product brief 1.7

A field is either published or assumed; what follows from other fields is a property, so that no two can disagree.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from lpu_backend.chip.timing import OPERATION_TIMINGS, OperationTiming

Standing = Literal["published", "derived", "assumed"]


def _figure(value: float, standing: Standing, source: str) -> Any:
    return field(default=value, metadata={"standing": standing, "source": source})


@dataclass(frozen=True)
class ChipSpec:
    """One chip and its network. Each field's metadata holds its `standing` and its `source`."""

    name: str
    # Floorplan: 20 tiles of 16 lanes; an instruction moves one tile a cycle, south to north.
    clock_hz: int = _figure(900_000_000, "published", "TSP: nominal clock")
    tiles: int = _figure(20, "published", "TSP: superlanes")
    lanes_per_tile: int = _figure(16, "published", "TSP: a word of 16 bytes a tile")

    # Memory.
    mem_slices: int = _figure(88, "published", "TSP: 44 on each side of the VXM")
    mem_addresses: int = _figure(8_192, "published", "TSP: 13 bits; a vector of one byte a lane at each")
    mem_banks: int = _figure(2, "published", "TSP: a slice; the address's highest bit chooses (assumed)")

    # Streams.
    streams_each_way: int = _figure(32, "published", "TSP: 32 east and 32 west, one byte a lane")

    # Instructions.
    instruction_bytes: int = _figure(16, "published", "TSP: 144 queues x 16 B a cycle")
    queue_instructions: int = _figure(1_024, "assumed", "16 KiB a queue, 1 % of the SRAM in all")
    ifetch_vectors: int = _figure(2, "assumed", "one Ifetch takes two vectors, 40 instructions")
    barrier_cycles: int = _figure(35, "assumed", "from Notify to the first instruction after Sync")

    # Units.
    mxm_planes: int = _figure(4, "published", "TSP: two at each end, lanes x lanes each")
    mxm_load_streams: int = _figure(16, "assumed", "a plane's load port: two planes take the 32 streams of their side")
    mxm_accumulators: int = _figure(64, "assumed", "int32 or fp32 vectors a plane")
    vxm_alus_per_lane: int = _figure(16, "published", "TSP: 5,120 ALUs of 32 bits")

    # Chip to chip.
    c2c_links: int = _figure(16, "published", "TSP")
    c2c_lanes_per_link: int = _figure(4, "published", "TSP")
    c2c_lane_bits_per_second: int = _figure(30_000_000_000, "published", "TSP: each way")
    c2c_packet_bytes: int = _figure(328, "published", "MULTI: 320 bytes and their header")
    c2c_vector_interval_cycles: int = _figure(27, "published", "SHIP: goodput of 10.67 GB/s each way at clock_hz")
    c2c_link_latency_cycles: float = _figure(217.0, "published", "MULTI: means of 7 links, 216.3 to 217.4")
    c2c_min_latency_cycles: int = _figure(209, "published", "MULTI: 7 links x 100,000 trials")
    c2c_max_latency_cycles: int = _figure(228, "published", "MULTI: 7 links x 100,000 trials")
    c2c_latency_sigma_cycles: float = _figure(2.75, "published", "MULTI: 2.6 to 2.9")
    c2c_receive_vectors: int = _figure(64, "assumed", "vectors that wait at the receiving end of a link")
    hac_period_cycles: int = _figure(252, "assumed", "epoch of the hardware aligned counter; above the largest latency")
    hop_ns: int = _figure(300, "published", "SHIP")
    hop_with_reduction_ns: int = _figure(722, "published", "MULTI: pipelined with a reduction")
    chips_per_node: int = _figure(8, "published", "MULTI: fully connected by 7 local links a chip")
    c2c_global_links_per_chip: int = _figure(4, "published", "MULTI")
    nodes_per_rack: int = _figure(9, "published", "MULTI: 72 chips")
    max_racks: int = _figure(145, "published", "MULTI: 10,440 chips, 5 hops at most")

    # Power.
    average_power_watts: int = _figure(185, "published", "BRIEF")
    tdp_watts: int = _figure(215, "published", "BRIEF")
    max_power_watts: int = _figure(300, "published", "BRIEF")
    system_power_watts: int = _figure(388, "published", "SHIP: per chip at system level")

    @property
    def lanes(self) -> int:
        """Derived: elements of one vector."""
        return self.tiles * self.lanes_per_tile

    @property
    def slices_each_side(self) -> int:
        """Derived: MEM slices of a hemisphere."""
        return self.mem_slices // 2

    @property
    def mem_slice_bytes(self) -> int:
        """Derived: 2.5 MiB on the GroqChip."""
        return self.mem_addresses * self.lanes

    @property
    def sram_bytes(self) -> int:
        """Derived: 220 MiB on the GroqChip."""
        return self.mem_slices * self.mem_slice_bytes

    @property
    def sram_bytes_per_cycle(self) -> int:
        """Derived: both banks of every slice, one vector each."""
        return self.mem_slices * self.mem_banks * self.lanes

    @property
    def stream_bytes_per_cycle(self) -> int:
        """Derived: what passes one position, both ways. SHIP names it as what bounds weight reads."""
        return 2 * self.streams_each_way * self.lanes

    @property
    def mxm_plane_macs(self) -> int:
        """Derived: multipliers of a plane."""
        return self.lanes * self.lanes

    @property
    def mxm_int8_macs_per_cycle(self) -> int:
        """Derived: every plane, one vector a cycle."""
        return self.mxm_planes * self.mxm_plane_macs

    @property
    def vxm_alus(self) -> int:
        """Derived: over all lanes."""
        return self.lanes * self.vxm_alus_per_lane

    @property
    def link_alone_ns(self) -> int:
        """Derived: the mean latency of a link in nanoseconds."""
        return round(self.c2c_link_latency_cycles * 1e9 / self.clock_hz)

    def timing(self, operation: str) -> OperationTiming:
        """d_func, d_skew and issue interval of an operation of `OPERATION_TIMINGS`. KeyError for any other name."""
        return OPERATION_TIMINGS[operation]


class Figure(NamedTuple):
    """One line of a chip's specification."""

    name: str
    value: str
    standing: Standing
    source: str


def list_figures(chip: ChipSpec) -> Iterator[Figure]:
    """Every published, assumed and derived figure of a chip, in the order of the class."""
    for entry in fields(chip):
        if entry.metadata:
            value = format(getattr(chip, entry.name), ",")
            yield Figure(entry.name, value, entry.metadata["standing"], entry.metadata["source"])
    for name, attribute in vars(ChipSpec).items():
        if isinstance(attribute, property):
            source = (attribute.__doc__ or "").removeprefix("Derived: ").rstrip(".")
            yield Figure(name, format(getattr(chip, name), ","), "derived", source)


GROQCHIP1 = ChipSpec(name="groqchip1")
