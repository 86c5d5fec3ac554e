"""What the units of a chip do over a template: each cycle counts for one of four.

network: in a window. Else matrix: an MXM plane loads, multiplies or accumulates. Else vector: an ALU or the SXM is at
work. Else waiting: vectors are on their way between memory and units, and nothing works.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.template import Run, Template
from lpu_backend.isa.operations import name_operation

UnitName = Literal["matrix", "vector", "network", "waiting"]


def count_unit_cycles(template: Template, chip: ChipSpec) -> dict[UnitName, int]:
    """Cycles by unit; together they are the template's."""
    network = np.zeros(template.cycles, np.bool_)
    for begin, window in template.windows:
        network[begin : begin + window.cycles] = True
    matrix = _mark([run for run in template.runs if run.queue.startswith("MXM")], template.cycles, chip)
    vector = _mark([run for run in template.runs if run.queue.startswith(("VXM", "SXM"))], template.cycles, chip)
    matrix &= ~network
    vector &= ~(network | matrix)
    counted = {"network": int(network.sum()), "matrix": int(matrix.sum()), "vector": int(vector.sum())}
    waiting = template.cycles - sum(counted.values())
    return {"matrix": counted["matrix"], "vector": counted["vector"], "network": counted["network"], "waiting": waiting}


def _mark(runs: Sequence[Run], cycles: int, chip: ChipSpec) -> NDArray[np.bool_]:
    """Cycles from a run's dispatch to its last result; where its dispatches are far apart, from each to its own."""
    changes = np.zeros(cycles + 1, np.int64)
    for run in runs:
        timing = chip.timing(name_operation(run.instruction))
        busy = max(timing.func, timing.skew, 1)
        begins = run.cycle + run.distance * np.arange(run.count + 1)
        np.add.at(changes, begins, 1)
        np.add.at(changes, np.minimum(begins + busy, cycles), -1)
    marked: NDArray[np.bool_] = np.cumsum(changes[:-1]) > 0
    return marked
