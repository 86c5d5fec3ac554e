"""The chip's specification: figures, floorplan and the timing of every operation."""

from lpu_backend.chip.floorplan import Floorplan, Queue, plan_floor
from lpu_backend.chip.spec import GROQCHIP1, ChipSpec, Figure, list_figures
from lpu_backend.chip.timing import OPERATION_TIMINGS, OperationTiming

__all__ = [
    "GROQCHIP1",
    "OPERATION_TIMINGS",
    "ChipSpec",
    "Figure",
    "Floorplan",
    "OperationTiming",
    "Queue",
    "list_figures",
    "plan_floor",
]
