"""The emulated chip: every published figure that this package uses, with where it comes from.

Sources:
  TSP    "Think Fast: A Tensor Streaming Processor (TSP) for Accelerating Deep Learning Workloads", ISCA 2020,
         doi 10.1109/ISCA45697.2020.00023
  MULTI  "A Software-defined Tensor Streaming Multiprocessor for Large-scale Machine Learning", ISCA 2022,
         doi 10.1145/3470496.3527405
  SHIP   MLSys 2026, OpenReview IZaXDwDtL1
  BRIEF  GroqChip product brief 1.7
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Standing = Literal["published", "derived", "assumed"]


def _figure(value: float, standing: Standing, source: str) -> Any:
    return field(default=value, metadata={"standing": standing, "source": source})


@dataclass(frozen=True)
class ChipSpec:
    """One chip and its network. Each field's metadata holds its `standing` and its `source`."""

    name: str
    # Floorplan: 20 tiles of 16 lanes; an instruction moves one tile a cycle.
    clock_hz: int = _figure(900_000_000, "published", "TSP V: nominal clock")
    tiles: int = _figure(20, "published", "TSP V: superlanes")
    lanes_per_tile: int = _figure(16, "published", "TSP V")
    lanes: int = _figure(320, "derived", "tiles x lanes_per_tile")

    # Memory.
    mem_slices: int = _figure(88, "published", "TSP V: 44 on each side of the VXM")
    mem_slice_bytes: int = _figure(2_621_440, "published", "TSP V: 2.5 MiB, 8,192 vectors of 320 bytes")
    mem_banks_per_slice: int = _figure(2, "published", "TSP V")
    sram_bytes: int = _figure(230_686_720, "derived", "mem_slices x mem_slice_bytes = 220 MiB")
    sram_bytes_per_cycle: int = _figure(56_320, "published", "TSP V: 2 x 44 x 2 x 320")

    # Streams.
    streams_per_lane: int = _figure(64, "published", "TSP V: 32 east, 32 west, one byte each")
    stream_bytes_per_cycle: int = _figure(20_480, "published", "TSP V: 2 x 32 x 320; SHIP: what bounds weight reads")

    # Instructions.
    instruction_queues: int = _figure(144, "published", "TSP V")
    instruction_fetch_bytes_per_cycle: int = _figure(2_304, "published", "TSP V: 144 x 16")

    # Units.
    mxm_planes: int = _figure(4, "published", "TSP V")
    mxm_plane_macs: int = _figure(102_400, "published", "TSP V: 320 x 320")
    mxm_int8_macs_per_cycle: int = _figure(409_600, "derived", "mxm_planes x mxm_plane_macs, one vector a cycle each")
    mxm_weight_load_bytes_per_cycle: int = _figure(10_240, "published", "TSP V: 32 streams x 320")
    vxm_alus_per_lane: int = _figure(16, "published", "TSP V: 5,120 ALUs of 32 bits")
    vxm_alus: int = _figure(5_120, "derived", "lanes x vxm_alus_per_lane")

    # Chip to chip.
    c2c_links: int = _figure(16, "published", "TSP V")
    c2c_lanes_per_link: int = _figure(4, "published", "TSP V")
    c2c_lane_bits_per_second: int = _figure(30_000_000_000, "published", "TSP V: each way")
    c2c_vector_bytes: int = _figure(320, "published", "MULTI V: payload of a packet")
    c2c_packet_bytes: int = _figure(328, "published", "MULTI V: the payload with its header")
    c2c_vector_interval_cycles: int = _figure(27, "derived", "SHIP: goodput of 10.67 GB/s each way")
    c2c_link_latency_cycles: float = _figure(217.0, "published", "MULTI V: means of 7 links, 216.3 to 217.4")
    hop_link_alone_ns: int = _figure(241, "derived", "c2c_link_latency_cycles at clock_hz")
    hop_ns: int = _figure(300, "published", "SHIP V")
    hop_with_reduction_ns: int = _figure(722, "published", "MULTI V: pipelined with a reduction")
    chips_per_node: int = _figure(8, "published", "MULTI V: fully connected by 7 local links a chip")
    c2c_global_links_per_chip: int = _figure(4, "published", "MULTI V")
    nodes_per_rack: int = _figure(9, "published", "MULTI V: 72 chips")
    max_racks: int = _figure(145, "published", "MULTI V: 10,440 chips, 5 hops at most")

    # Power.
    average_power_watts: int = _figure(185, "published", "BRIEF")
    tdp_watts: int = _figure(215, "published", "BRIEF")
    max_power_watts: int = _figure(300, "published", "BRIEF")
    system_power_watts: int = _figure(388, "published", "SHIP: per chip at system level")


GROQCHIP1 = ChipSpec(name="groqchip1")
