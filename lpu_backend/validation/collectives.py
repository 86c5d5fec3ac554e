"""The network: hops, distances, and how much of a node's bandwidth an all-reduce gets."""

from collections.abc import Mapping

from lpu_backend.chip import ChipSpec
from lpu_backend.network.bandwidth import list_latency_models, measure_curve
from lpu_backend.network.summary import TopologySummary, summarise_topology
from lpu_backend.network.timing import time_chip

_NS_PER_SECOND = 1e9
_PERCENT = 100


def measure_hop_ns(chip: ChipSpec) -> float:
    """From a Send to the Send that hands the vector on, as the emulated chip's instructions can be sure of it."""
    return time_chip(chip).hop_cycles / chip.clock_hz * _NS_PER_SECOND


def summarise(chip: ChipSpec, chips: int) -> TopologySummary:
    """A system's figures, its diameter by searching every distance."""
    return summarise_topology(chips, chip)


def measure_shares(chip: ChipSpec, size_bytes: int) -> Mapping[str, float]:
    """Percent of the bandwidth that the links allow, by latency model, of an all-reduce on the chips of a node."""
    models = list_latency_models(chip)
    return {name: _PERCENT * measure_curve(timing, [size_bytes], spec=chip)[0].share for name, timing in models.items()}
