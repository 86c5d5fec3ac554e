"""Running a program on the machine, and how fast that went."""

import time
from dataclasses import dataclass

from lpu_backend.chip import GROQCHIP1
from lpu_backend.commands.loading import Tensors
from lpu_backend.isa.program import Program
from lpu_backend.machine import Machine, Observer, Run


@dataclass(frozen=True)
class Emulation:
    """A run and the wall time of its cycles; building the machine and writing its inputs are left out."""

    run: Run
    wall_s: float

    def describe_time(self) -> str:
        """The program's own time."""
        time_us = self.run.cycles / GROQCHIP1.clock_hz * 1e6
        return f"{self.run.cycles:,} cycles, {time_us:,.3f} µs at {GROQCHIP1.clock_hz / 1e6:,.0f} MHz"

    def describe_speed(self) -> str:
        """What the emulator made of it."""
        return (
            f"emulated {self.run.dispatched:,} instructions in {self.wall_s * 1e3:,.1f} ms: "
            f"{self.run.dispatched / self.wall_s:,.0f} instructions/s, {self.run.cycles / self.wall_s:,.0f} cycles/s"
        )


def emulate(program: Program, inputs: Tensors, observer: Observer | None = None) -> Emulation:
    """Run on the GroqChip. HazardError, RegionError."""
    machine = Machine(program, GROQCHIP1, observer=observer)
    for name, array in inputs.items():
        machine.write(name, array)
    started_s = time.perf_counter()
    run = machine.run()
    return Emulation(run, time.perf_counter() - started_s)
