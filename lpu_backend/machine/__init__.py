"""The machine: runs programs on one chip or several, bit for bit and cycle for cycle."""

from lpu_backend.machine.images import RegionError
from lpu_backend.machine.issue import Dispatch, Observer
from lpu_backend.machine.machine import Machine, Run, run_program

__all__ = ["Dispatch", "Machine", "Observer", "RegionError", "Run", "run_program"]
