"""What cannot be compiled."""

from lpu_backend.exceptions import CompileError

__all__ = ["CompileError"]
