"""What `python -m lpu_backend` does, a module a command."""

from lpu_backend.commands import (
    assemble,
    check,
    chip,
    compiling,
    disassemble,
    network,
    programs,
    prove,
    run,
    scale,
    trace,
    validate,
)
from lpu_backend.commands.command import Command, UsageError

COMMANDS: tuple[Command, ...] = (
    run.COMMAND,
    trace.COMMAND,
    check.COMMAND,
    assemble.COMMAND,
    disassemble.COMMAND,
    programs.COMMAND,
    chip.COMMAND,
    network.COMMAND,
    validate.COMMAND,
    compiling.COMMAND,
    scale.COMMAND,
    prove.COMMAND,
)

__all__ = ["COMMANDS", "Command", "UsageError"]
