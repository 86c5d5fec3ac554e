"""What cannot be compiled."""

from lpu_backend.exceptions import LpuBackendError


class CompileError(LpuBackendError):
    """A model, or a program, that these chips cannot run: the message names what and why."""
