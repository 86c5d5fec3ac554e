"""`python -m lpu_backend COMMAND`: programs of the chip, its network, published figures, and compiled models."""

import argparse
import sys
from collections.abc import Sequence

from lpu_backend.commands import COMMANDS, UsageError
from lpu_backend.exceptions import LpuBackendError

_BAD_USAGE = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 for what a command found wrong, also an LpuBackendError; 2 for bad usage or a missing file."""
    parser = _build_parser()
    try:
        options = parser.parse_args(arguments)
        if options.command is None:
            parser.print_help()
            return 0
        status: int = options.command.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`): not an error, and Python must not try to flush it at its end.
        sys.stdout = None
        return 0
    except LpuBackendError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return _BAD_USAGE
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return _BAD_USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lpu_backend",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=20),
        description="Programs on an emulated LPU, instruction by instruction. docs/chip.md says what is emulated.",
        epilog="COMMAND --help says more. `python -m lpu_backend.chat` talks to a model.",
    )
    parser.set_defaults(command=None)
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.purpose, description=command.purpose)
        command.add_arguments(subparser)
        subparser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
