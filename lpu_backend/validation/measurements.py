"""Everything that is counted on a chip and its network, each program run once, when its first figure is asked for."""

from collections.abc import Mapping
from functools import cached_property

from lpu_backend.chip import ChipSpec
from lpu_backend.isa.operands import DataType
from lpu_backend.network.summary import TopologySummary
from lpu_backend.validation import bandwidth, bert, collectives, links, matrix, memory, products, vector


class Measurements:
    """Figures of one chip, by the program that they are counted in. HazardError, MeasurementError."""

    def __init__(self, chip: ChipSpec) -> None:
        self.chip = chip

    @cached_property
    def streams(self) -> int:
        return bandwidth.count_streams(self.chip)

    @cached_property
    def stream_bytes(self) -> float:
        return bandwidth.measure_stream_bytes(self.chip)

    @cached_property
    def sram(self) -> bandwidth.SramRates:
        return bandwidth.measure_sram(self.chip)

    @cached_property
    def issue(self) -> bandwidth.IssueRates:
        return bandwidth.measure_issue(self.chip)

    @cached_property
    def int8(self) -> matrix.MatrixRates:
        return matrix.measure_matrix(self.chip, DataType.INT8, has_all_streams=False)

    @cached_property
    def int8_all_streams(self) -> matrix.MatrixRates:
        return matrix.measure_matrix(self.chip, DataType.INT8, has_all_streams=True)

    @cached_property
    def fp16(self) -> matrix.MatrixRates:
        return matrix.measure_matrix(self.chip, DataType.FP16, has_all_streams=True)

    @cached_property
    def vector_operations(self) -> float:
        return vector.measure_vector_operations(self.chip)

    @cached_property
    def capacity(self) -> memory.Capacity:
        return memory.measure_capacity(self.chip)

    @cached_property
    def skew_cycles(self) -> int:
        return memory.count_skew_cycles(self.chip)

    @cached_property
    def link_rate(self) -> links.LinkRate:
        return links.measure_link_rate(self.chip)

    @cached_property
    def link_latency(self) -> links.LinkLatency:
        return links.measure_link_latency(self.chip)

    @cached_property
    def hop_ns(self) -> float:
        return collectives.measure_hop_ns(self.chip)

    @cached_property
    def nodes_system(self) -> TopologySummary:
        return collectives.summarise(self.chip, 264)

    @cached_property
    def racks_system(self) -> TopologySummary:
        return collectives.summarise(self.chip, 10_440)

    @cached_property
    def shares_32_kib(self) -> Mapping[str, float]:
        return collectives.measure_shares(self.chip, 32 << 10)

    @cached_property
    def shares_80_kib(self) -> Mapping[str, float]:
        return collectives.measure_shares(self.chip, 80 << 10)

    @cached_property
    def utilisation(self) -> float:
        return products.measure_utilisation(self.chip)

    @cached_property
    def bert_us(self) -> float:
        return bert.measure_bert_us(self.chip)

    @cached_property
    def distributed_us(self) -> float:
        return products.measure_distributed_us(self.chip)
