"""Errors of assembly texts."""

from collections.abc import Iterator
from contextlib import contextmanager

from lpu_backend.exceptions import LpuBackendError


class AssemblyError(LpuBackendError):
    """A text that does not assemble. `line_number` counts from 1; `detail` says what was expected there."""

    def __init__(self, line_number: int, detail: str) -> None:
        super().__init__(f"line {line_number}: {detail}")
        self.line_number = line_number
        self.detail = detail


class TextError(ValueError):
    """What is wrong with a piece of text; whoever knows its line makes an AssemblyError of it."""


@contextmanager
def at_line(line_number: int) -> Iterator[None]:
    """Say of a TextError from within that it is on this line."""
    try:
        yield
    except TextError as error:
        raise AssemblyError(line_number, str(error)) from None
