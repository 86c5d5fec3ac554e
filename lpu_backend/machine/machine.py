"""One or several chips in lock-step: build, write inputs, run, read outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.isa.program import Program, Region
from lpu_backend.machine.chip import ChipState
from lpu_backend.machine.control import ChipControl
from lpu_backend.machine.images import RegionError, collect, lay_out, lay_out_text
from lpu_backend.machine.issue import Observer
from lpu_backend.machine.link import Channel, Clock, LinkEnd
from lpu_backend.machine.scheduler import Phase, Scheduler
from lpu_backend.machine.vectors import Vector


@dataclass(frozen=True)
class Run:
    """What a program did. `cycles` is the slowest chip's; `dispatched` leaves out NOPs and counts every iteration."""

    cycles: int
    dispatched: int
    outputs: dict[str, NDArray[np.generic]]
    corrected_bits: int


class Machine:
    """Chips with a program in their queues. Write the inputs, run once, read the outputs.

    `boot_skew_cycles` and `drift_ppm`, one a chip, are how much later it starts and how much slower its clock is; what
    is left out is 0. `link_seed` draws the links' jitter. None of the three can change what a checked program does.
    """

    def __init__(
        self,
        program: Program,
        chip: ChipSpec = GROQCHIP1,
        *,
        observer: Observer | None = None,
        link_seed: int = 0,
        boot_skew_cycles: Sequence[int] = (),
        drift_ppm: Sequence[float] = (),
    ) -> None:
        self._program = program
        self._spec = chip
        self._regions = {region.name: region for region in program.regions}
        self._scheduler = Scheduler()
        self._chips = [ChipState(chip, index, self._at_end_of_cycle) for index in range(program.chips)]
        skews = [*boot_skew_cycles, *[0] * program.chips]
        drifts = [*drift_ppm, *[0.0] * program.chips]
        self._controls = [
            ChipControl(state, Clock(skew_cycles, drift), self._scheduler, observer)
            for state, skew_cycles, drift in zip(self._chips, skews, drifts, strict=False)
        ]
        self._connect(link_seed)
        self._store_constants()
        for control, queues in zip(self._controls, program.queues, strict=True):
            control.load(queues)

    def write(self, name: str, array: NDArray[np.generic]) -> None:
        """Put an array [rows, lanes] where the program expects it. RegionError."""
        region = self._region(name)
        for slice_name, address, vector in lay_out(region, array, self._spec):
            self._store(region.chip, slice_name, address, vector)

    def read(self, name: str) -> NDArray[np.generic]:
        """A region's array [rows, lanes] as it stands. RegionError if part of it was never written."""
        region = self._region(name)
        vectors: dict[tuple[int, int], Vector] = {}
        for row, byte, slice_name, address in region.places():
            vector = self._chips[region.chip].slice(slice_name).read(address)
            if vector is None or vector.absent is not None:
                raise RegionError(f"{name}: row {row} at {slice_name} {address:#x} was never written")
            vectors[row, byte] = vector
        return collect(region, vectors)

    def flip_bits(self, chip: int, slice_name: str, address: int, tile: int, bits: Sequence[int]) -> None:
        """Invert bits of one stored word: 0 to 127 are data, 128 to 136 its check bits. KeyError if never written."""
        self._chips[chip].slice(slice_name).flip(address, tile, frozenset(bits))

    def run(self) -> Run:
        """Run to the end. HazardError where a chip would have gone wrong."""
        self._scheduler.run()
        for control in self._controls:
            control.refuse_parked()
        last_cycle = max(state.last_cycle for state in self._chips)
        return Run(
            cycles=last_cycle + self._spec.tiles if last_cycle >= 0 else 0,
            dispatched=sum(control.dispatched for control in self._controls),
            outputs={
                region.name: self.read(region.name) for region in self._program.regions if region.kind == "output"
            },
            corrected_bits=sum(state.corrected_bits for state in self._chips),
        )

    def _region(self, name: str) -> Region:
        if name not in self._regions:
            raise RegionError(f"{self._program.name} has no region {name}; it has {', '.join(self._regions)}")
        return self._regions[name]

    def _store(self, chip: int, slice_name: str, address: int, vector: Vector) -> None:
        self._chips[chip].slice(slice_name).write(address, vector, self._spec.tiles)

    def _store_constants(self) -> None:
        for region in self._program.regions:
            if region.kind == "constant":
                self.write(region.name, region.array())
        for text in self._program.texts:
            for slice_name, address, vector in lay_out_text(text, self._spec):
                self._store(text.chip, slice_name, address, vector)

    def _connect(self, seed: int) -> None:
        for link in self._program.links:
            onward = Channel(self._spec, (seed, link.chip_a, link.link_a))
            back = Channel(self._spec, (seed, link.chip_b, link.link_b))
            self._chips[link.chip_a].links[link.link_a] = LinkEnd(onward, back)
            self._chips[link.chip_b].links[link.link_b] = LinkEnd(back, onward)

    def _at_end_of_cycle(self, cycle: int, action: Callable[[], None]) -> None:
        self._scheduler.at(cycle, Phase.END, lambda _: action())


def run_program(
    program: Program,
    inputs: Mapping[str, NDArray[np.generic]],
    chip: ChipSpec = GROQCHIP1,
    *,
    observer: Observer | None = None,
    link_seed: int = 0,
    boot_skew_cycles: Sequence[int] = (),
    drift_ppm: Sequence[float] = (),
) -> Run:
    """Run a program on inputs by region name, each [rows, lanes] of its region's type. HazardError, RegionError."""
    machine = Machine(
        program,
        chip,
        observer=observer,
        link_seed=link_seed,
        boot_skew_cycles=boot_skew_cycles,
        drift_ppm=drift_ppm,
    )
    for name, array in inputs.items():
        machine.write(name, array)
    return machine.run()
