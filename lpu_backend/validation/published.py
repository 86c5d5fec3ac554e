"""The published figures of a chip and its network, as their sources print them, and how each is counted here.

Nothing in this table is read from the emulator's own specification, so that the two can disagree.

  TSP    "Think Fast: A Tensor Streaming Processor (TSP) for Accelerating Deep Learning Workloads", ISCA 2020,
         doi 10.1109/ISCA45697.2020.00023
  MULTI  "A Software-defined Tensor Streaming Multiprocessor for Large-scale Machine Learning", ISCA 2022,
         doi 10.1145/3470496.3527405
  SHIP   MLSys 2026, OpenReview IZaXDwDtL1
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lpu_backend.validation.matrix import MatrixRates
from lpu_backend.validation.measurements import Measurements

Use = Literal["exact", "calibration", "check"]

_MIB = 1 << 20
_OPS = 2  # a multiplication and an addition
_SUB_OPERATION_OUTPUTS = 320
_INT8_TERMS, _FP16_TERMS = 320, 160
_TERA, _GIGA = 1e12, 1e9
_UNFITTED, _FITTED = "published, 241 ns and 722 ns", "calibrated"


@dataclass(frozen=True)
class Published:
    """A figure as printed, or the two ends of a range.

    `exact`: the emulated figure must be it, at the digits that are printed. `check`: the same figure seen in another
    way, or at another clock. `calibration`: the emulator draws from a distribution that was fitted to it, so agreement
    shows nothing but the fit.
    """

    name: str
    source: str
    printed: str | tuple[str, str]
    unit: str
    used_for: Use
    count: Callable[[Measurements], float]


def _per_second(per_cycle: float, m: Measurements, scale: float) -> float:
    return per_cycle * m.chip.clock_hz / scale


def _load_bytes(rates: MatrixRates) -> float:
    """Bytes a cycle."""
    return rates.weight_bytes / rates.load_cycles


PUBLISHED: tuple[Published, ...] = (
    Published("streams each way", "TSP", "32", "streams", "exact", lambda m: m.streams),
    Published("streams past one position", "TSP", "20480", "B/cycle", "exact", lambda m: m.stream_bytes),
    Published("SRAM bandwidth", "TSP", "56320", "B/cycle", "exact", lambda m: m.sram.bytes_per_cycle),
    Published("MEM slices", "TSP", "88", "slices", "exact", lambda m: m.sram.slices),
    Published("addresses of a slice", "TSP", "8192", "vectors", "exact", lambda m: m.capacity.addresses),
    Published("address width", "TSP", "13", "bits", "exact", lambda m: (m.capacity.addresses - 1).bit_length()),
    Published("capacity of a slice", "TSP", "2.5", "MiB", "exact", lambda m: m.capacity.slice_bytes / _MIB),
    Published("capacity", "TSP", "220", "MiB", "exact", lambda m: m.sram.slices * m.capacity.slice_bytes / _MIB),
    Published("instruction queues", "TSP", "144", "words/cycle", "exact", lambda m: m.issue.words_per_cycle),
    Published("instruction dispatch", "TSP", "2304", "B/cycle", "exact", lambda m: m.issue.bytes_per_cycle),
    Published("skew over the tiles", "TSP", "20", "cycles", "exact", lambda m: m.skew_cycles),
    Published("VXM operations", "TSP", "5120", "ops/cycle", "exact", lambda m: m.vector_operations),
    Published("MXM int8", "TSP", "409600", "MACs/cycle", "exact", lambda m: m.int8.macs_per_cycle),
    Published("MXM fp16", "MULTI", "102400", "MACs/cycle", "exact", lambda m: m.fp16.macs_per_cycle),
    Published(
        "MXM int8 sub-operations [1x320][320x320]",
        "MULTI",
        "4",
        "a cycle",
        "exact",
        lambda m: m.int8.macs_per_cycle / (_INT8_TERMS * _SUB_OPERATION_OUTPUTS),
    ),
    Published(
        "MXM fp16 sub-operations [1x160][160x320]",
        "MULTI",
        "2",
        "a cycle",
        "exact",
        lambda m: m.fp16.macs_per_cycle / (_FP16_TERMS * _SUB_OPERATION_OUTPUTS),
    ),
    Published(
        "int8 peak at 1 GHz",
        "TSP",
        "819.2",
        "TOPS",
        "exact",
        lambda m: _OPS * m.int8.macs_per_cycle * _GIGA / _TERA,
    ),
    Published(
        "int8 peak at the clock",
        "TSP",
        "737",
        "TOPS",
        "exact",
        lambda m: _per_second(_OPS * m.int8.macs_per_cycle, m, _TERA),
    ),
    Published(
        "fp16 peak at the clock",
        "MULTI",
        "184.3",
        "TFLOPS",
        "exact",
        lambda m: _per_second(_OPS * m.fp16.macs_per_cycle, m, _TERA),
    ),
    Published("weights of all planes", "TSP", "409600", "weights", "exact", lambda m: m.int8.weights),
    Published("weight load, 32 streams", "TSP", "40", "cycles", "exact", lambda m: m.int8.load_cycles),
    Published(
        "weight load, 32 streams",
        "TSP",
        "10240",
        "B/cycle",
        "exact",
        lambda m: _load_bytes(m.int8),
    ),
    Published("weight load, 64 streams", "SHIP", "20", "cycles", "check", lambda m: m.int8_all_streams.load_cycles),
    Published(
        "weight load, 64 streams",
        "SHIP",
        "20480",
        "B/cycle",
        "check",
        lambda m: _load_bytes(m.int8_all_streams),
    ),
    Published(
        "weight bandwidth at the clock",
        "SHIP",
        "18.43",
        "TB/s",
        "check",
        lambda m: _per_second(_load_bytes(m.int8_all_streams), m, _TERA),
    ),
    Published("a vector on a link every", "SHIP", "27", "cycles", "exact", lambda m: m.link_rate.interval_cycles),
    Published(
        "link goodput each way",
        "SHIP",
        "10.67",
        "GB/s",
        "exact",
        lambda m: _per_second(m.link_rate.bytes_per_cycle, m, _GIGA),
    ),
    Published("link latency, least", "MULTI", "209", "cycles", "calibration", lambda m: m.link_latency.least_cycles),
    Published("link latency, most", "MULTI", "228", "cycles", "calibration", lambda m: m.link_latency.most_cycles),
    Published(
        "link latency, mean", "MULTI", ("216.3", "217.4"), "cycles", "calibration", lambda m: m.link_latency.mean_cycles
    ),
    Published(
        "earliest Receive after a Send",
        "MULTI",
        ("209", "228"),
        "cycles",
        "calibration",
        lambda m: m.link_latency.earliest_receive_cycles,
    ),
    Published("hop", "SHIP", "300", "ns", "check", lambda m: m.hop_ns),
    Published("most hops, 264 chips", "MULTI", "3", "hops", "check", lambda m: m.nodes_system.diameter_hops),
    Published("most hops, 10,440 chips", "MULTI", "5", "hops", "check", lambda m: m.racks_system.diameter_hops),
    Published("all-reduce on a node, 32 KiB", "SHIP", "50", "%", "check", lambda m: m.shares_32_kib[_UNFITTED]),
    Published("all-reduce on a node, 80 KiB", "SHIP", "90", "%", "check", lambda m: m.shares_80_kib[_UNFITTED]),
    Published("the same, 32 KiB, fitted", "SHIP", "50", "%", "calibration", lambda m: m.shares_32_kib[_FITTED]),
    Published("the same, 80 KiB, fitted", "SHIP", "90", "%", "check", lambda m: m.shares_80_kib[_FITTED]),
    Published("GEMM [2304x4096][4096xN], at least", "MULTI", ("80", "100"), "%", "check", lambda m: m.utilisation),
    Published("GEMM on 8 chips, int8 time x 4", "MULTI", "330", "us", "check", lambda m: m.distributed_us),
    Published("BERT-base, 128 tokens, 99th percentile", "MULTI", "130", "us", "check", lambda m: m.bert_us),
)
