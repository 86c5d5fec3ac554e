"""Speed of the emulator: every example and every program of `validate`, beside plain numpy in the same run.

    OPENBLAS_NUM_THREADS=1 python benchmarks/emulator.py [--repeats N]

Wall time is the best of the repeats, and that of the cycles alone: building a machine and writing its inputs are left
out. Beside it stands plain numpy on the same inputs, and how many times longer the emulator took. numpy is what the
outputs are compared with; for matvec, whose comparison is exact and slow, it is a float32 product of the same shape.
Rates differ between machines and hours: only the ratios of one run are worth comparing.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lpu_backend.chip import GROQCHIP1
from lpu_backend.isa.operands import DataType
from lpu_backend.machine import Machine, Run
from lpu_backend.programs.catalogue import EXAMPLES, load_example
from lpu_backend.validation import bandwidth, links, matrix, memory, vector
from lpu_backend.validation.recording import Case

WIDTHS = (8, 8, 9, 11, 11, 10, 8)


class Measurement(NamedTuple):
    """One program: what it did, and the best wall times."""

    name: str
    run: Run
    emulated_s: float
    numpy_s: float


def list_cases() -> Iterator[Case]:
    """The examples with inputs of seed 0, then validate's programs."""
    for name, example in EXAMPLES.items():
        yield Case(load_example(name), example.make_inputs(np.random.default_rng(0)), example.expect)
    chip = GROQCHIP1
    yield bandwidth.build_streams(chip)
    yield bandwidth.build_slices(chip)
    yield bandwidth.build_queues(chip)
    yield vector.build_alus(chip)
    yield matrix.build_products(chip, DataType.INT8, has_all_streams=False)
    yield matrix.build_products(chip, DataType.FP16, has_all_streams=True)
    yield memory.build_copy(chip, chip.mem_addresses)
    yield links.build_exchange(chip, 12, chip.c2c_vector_interval_cycles, chip.c2c_max_latency_cycles)


def prepare_numpy(case: Case) -> Callable[[], object]:
    """The same result, or for matvec the same product, in plain numpy."""
    if not case.program.name.startswith("matvec"):
        return lambda: case.expect(case.inputs)
    x = case.inputs["x"].astype(np.float32).ravel()
    outputs = next(region.rows * region.lanes for region in case.program.regions if region.kind == "output")
    weights = np.random.default_rng(0).standard_normal((outputs, x.size), dtype=np.float32)
    return lambda: weights @ x


def measure(case: Case, repeats: int) -> Measurement:
    """Best wall times; emulator and numpy take turns, so that a change of the machine's speed meets both."""
    runs: list[Run] = []
    compute = prepare_numpy(case)
    emulated_s, numpy_s = [], []
    for _ in range(repeats):
        machine = Machine(case.program)
        for name, array in case.inputs.items():
            machine.write(name, array)
        emulated_s.append(measure_wall_s(lambda machine=machine: runs.append(machine.run())))  # type: ignore[misc]
        numpy_s.append(measure_wall_s(compute))
    return Measurement(case.program.name, runs[0], min(emulated_s), min(numpy_s))


def measure_wall_s(action: Callable[[], object]) -> float:
    """Seconds of one call."""
    started_s = time.perf_counter()
    action()
    return time.perf_counter() - started_s


def main() -> None:
    """Print one row a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"one thread, best of {options.repeats}")
    head = ("instr.", "cycles", "ms", "instr./s", "cycles/s", "numpy ms", "ratio")
    print(f"{'program':30}" + "".join(name.rjust(width) for name, width in zip(head, WIDTHS, strict=True)))
    for case in list_cases():
        name, run, emulated_s, numpy_s = measure(case, options.repeats)
        cells = (
            f"{run.dispatched:,}",
            f"{run.cycles:,}",
            f"{emulated_s * 1e3:.2f}",
            f"{run.dispatched / emulated_s:,.0f}",
            f"{run.cycles / emulated_s:,.0f}",
            f"{numpy_s * 1e3:.3f}",
            f"{emulated_s / numpy_s:,.0f}",
        )
        line = "".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))
        print(f"{name:30}{line}", flush=True)


if __name__ == "__main__":
    main()
