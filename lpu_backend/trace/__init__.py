"""What a run looked like: a trace for Perfetto and a picture of the chip's slices over time."""

from lpu_backend.trace.drawing import draw_occupancy
from lpu_backend.trace.occupancy import Occupancy
from lpu_backend.trace.perfetto import PerfettoTrace

__all__ = ["Occupancy", "PerfettoTrace", "draw_occupancy"]
