"""Links between chips: latency with jitter, order, the receiving buffer; and the clocks at their ends."""

from collections import deque
from typing import NamedTuple

import numpy as np

from lpu_backend.chip import ChipSpec
from lpu_backend.machine.vectors import Vector


class Clock:
    """How a chip's program counter (SAC) runs against the aligned counter (HAC), which is the same on all chips.

    `drift_ppm` is how much slower (positive) this chip's clock is; `boot_skew_cycles` how much later it starts.
    """

    def __init__(self, boot_skew_cycles: int, drift_ppm: float) -> None:
        self._drift = drift_ppm / 1e6
        self._base_cycle = 0
        self._base_hac = boot_skew_cycles

    def hac(self, cycle: int) -> int:
        """The aligned counter's whole cycles, without wrapping, when the program counter shows `cycle`."""
        elapsed_cycles = cycle - self._base_cycle
        return self._base_hac + elapsed_cycles + int(elapsed_cycles * self._drift)

    def align(self, cycle: int) -> None:
        """From here on the program counter equals the aligned counter, until drift parts them again."""
        self._base_cycle = self._base_hac = cycle


class Flight(NamedTuple):
    """A vector on a link, or waiting at its end."""

    arrival_hac: int
    vector: Vector


class Channel:
    """One direction of a link. Latencies are drawn from the published distribution, so that a seed repeats them."""

    def __init__(self, spec: ChipSpec, seed: tuple[int, int, int]) -> None:
        self._spec = spec
        self._generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
        self._latest_hac = 0
        self.flights: deque[Flight] = deque()

    def send(self, hac: int, vector: Vector) -> None:
        """A vector enters the link. None overtakes another."""
        self._latest_hac = max(hac + self.draw_latency(), self._latest_hac)
        self.flights.append(Flight(self._latest_hac, vector))

    def draw_latency(self) -> int:
        """Cycles of one crossing: the published mean and deviation, within the published extremes."""
        spec = self._spec
        drawn = round(self._generator.normal(spec.c2c_link_latency_cycles, spec.c2c_latency_sigma_cycles))
        return min(max(drawn, spec.c2c_min_latency_cycles), spec.c2c_max_latency_cycles)

    def waiting(self, hac: int) -> int:
        """Vectors that have arrived and that nobody has taken."""
        return sum(flight.arrival_hac <= hac for flight in self.flights)


class LinkEnd:
    """What one chip sees of a link."""

    def __init__(self, outward: Channel, inward: Channel) -> None:
        self.outward = outward
        self.inward = inward
        self.last_send_cycle: int | None = None
