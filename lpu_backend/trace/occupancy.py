"""Which slices are busy when, gathered from a machine's dispatches in bounded memory."""

from collections.abc import Hashable
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.isa.instructions import (
    Config,
    Deskew,
    Gather,
    Ifetch,
    Instruction,
    MemPair,
    Notify,
    Read,
    RuntimeDeskew,
    Scatter,
    Sync,
    Write,
)
from lpu_backend.machine import Dispatch
from lpu_backend.trace.flows import Flows

Activity = Literal["MXM", "SXM", "MEM read", "MEM write", "VXM", "C2C", "ICU"]
ACTIVITIES: tuple[Activity, ...] = ("MXM", "SXM", "MEM read", "MEM write", "VXM", "C2C", "ICU")

Key = TypeVar("Key", bound=Hashable)

MAX_COLUMNS = 1_200
"""Columns of a picture: a program of more cycles is binned, 2, 4, 8 ... cycles a column."""


def classify(instruction: Instruction, unit: str) -> tuple[Activity, ...]:
    """What an instruction keeps busy: its unit, or its queue's control (ICU). A Pair can be a read and a write."""
    match instruction:
        case Sync() | Notify() | Config() | Ifetch() | Deskew() | RuntimeDeskew():
            return ("ICU",)
        case MemPair(first=first, second=second):
            return tuple(sorted({*classify(first, unit), *classify(second, unit)}))
        case Read() | Gather():
            return ("MEM read",)
        case Write() | Scatter():
            return ("MEM write",)
    if unit in ("VXM", "C2C"):
        return ("VXM",) if unit == "VXM" else ("C2C",)
    return ("MXM",) if unit.startswith("MXM") else ("SXM",)


class Occupancy:
    """Observer that counts, for each slice and column of `cycles_per_column` cycles, the cycles with a dispatch."""

    def __init__(self, chip: ChipSpec = GROQCHIP1, max_columns: int = MAX_COLUMNS) -> None:
        """`max_columns` is even: when a later cycle comes, columns are joined two by two."""
        self.chip = chip
        self.cycles_per_column = 1
        self.dispatched = 0
        self.last_cycle = 0
        self.flows: Flows | None = Flows(chip)
        self._max_columns = max_columns
        self._busy: dict[tuple[int, int, Activity], NDArray[np.int64]] = {}
        self._dispatches: dict[int, NDArray[np.int64]] = {}
        self._counted: set[tuple[int, int, Activity]] = set()
        self._counted_cycle = -1

    def __call__(self, dispatch: Dispatch) -> None:
        """Take one dispatch (an `Observer` of the machine). Cycles come in order."""
        while dispatch.cycle >= self._max_columns * self.cycles_per_column:
            self._join_columns()
        if dispatch.cycle != self._counted_cycle:
            self._counted.clear()
            self._counted_cycle = dispatch.cycle
        column = dispatch.cycle // self.cycles_per_column
        self.dispatched += 1
        self.last_cycle = max(self.last_cycle, dispatch.cycle)
        self._count(self._dispatches, dispatch.chip, column)
        for activity in classify(dispatch.instruction, dispatch.queue.unit):
            key = (dispatch.chip, dispatch.queue.position, activity)
            if key not in self._counted:
                self._counted.add(key)
                self._count(self._busy, key, column)
        if self.flows is not None:
            self.flows.add(dispatch)

    def list_activities(self) -> list[Activity]:
        """Those that took place on any chip, in their usual order."""
        seen = {activity for _, _, activity in self._busy}
        return [activity for activity in ACTIVITIES if activity in seen]

    def list_busy(self, chip: int) -> dict[int, dict[Activity, NDArray[np.float64]]]:
        """By position and activity: in each column the share of its cycles that are busy."""
        busy: dict[int, dict[Activity, NDArray[np.float64]]] = {}
        for (of_chip, position, activity), cycles in self._busy.items():
            if of_chip == chip:
                busy.setdefault(position, {})[activity] = cycles / self.cycles_per_column
        return busy

    def count_dispatches(self, chip: int) -> NDArray[np.float64]:
        """Instructions per cycle, of all queues of the chip, in each column."""
        dispatches = self._dispatches.get(chip, np.zeros(self._max_columns, dtype=np.int64))
        return dispatches / self.cycles_per_column

    def _count(self, counts: dict[Key, NDArray[np.int64]], key: Key, column: int) -> None:
        if key not in counts:
            counts[key] = np.zeros(self._max_columns, dtype=np.int64)
        counts[key][column] += 1

    def _join_columns(self) -> None:
        self.cycles_per_column *= 2
        self.flows = None  # a vector is on the chip for some 90 cycles: its way shows only at a cycle a column
        empty = np.zeros(self._max_columns // 2, dtype=np.int64)
        for cycles in (*self._busy.values(), *self._dispatches.values()):
            cycles[:] = np.concatenate([cycles.reshape(-1, 2).sum(axis=1), empty])
