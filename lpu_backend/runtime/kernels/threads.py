"""Threads that meet after every operation."""

from lpu_backend.runtime.kernel_ops import Whole
from lpu_backend.runtime.kernels.jit import compiled


@compiled
def wait_for_all(arrivals: Whole, threads: int) -> None:
    """Until all have come here."""
