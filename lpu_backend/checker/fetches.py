"""The text that an Ifetch gets: found by following its streams back to the Reads that drive them.

The machine takes whatever bytes are on the streams. Without data only text is known that lies in SRAM from the start
and that nothing has overwritten; any other is refused.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lpu_backend.checker.accesses import StreamUse, stream_uses
from lpu_backend.checker.contents import TextError, read_text
from lpu_backend.checker.issues import Issue
from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.isa.instructions import Instruction, MemPair, Read, Scatter, Write
from lpu_backend.isa.operands import Stream
from lpu_backend.isa.program import Program
from lpu_backend.isa.repetition import iterate

MAX_FETCHES = 100_000
"""Of one chip. A text that fetches itself would never end."""

__all__ = ["TextError", "TextReader"]


class _Drive(NamedTuple):
    travel: int
    issue: Issue
    iteration: int


class TextReader:
    """Reads fetched text. `issues` grows as the timeline does, and holds all that matters when `read` is called."""

    def __init__(self, program: Program, chip_index: int, chip: ChipSpec, issues: Sequence[Issue]) -> None:
        self._program = program
        self._chip_index = chip_index
        self._chip = chip
        self._width = plan_floor(chip).width
        self._issues = issues
        self._drives: dict[Stream, dict[int, list[_Drive]]] = {}
        self._indexed: dict[Stream, int] = {}
        self._writers: dict[str, list[Issue]] = {}
        self._writers_indexed = 0
        self._fetches = 0

    def read(self, fetch: Issue) -> list[Instruction]:
        """The instructions that an Ifetch fetches. TextError where they cannot be known.

        A vector that is missing gives nothing: the check of the streams finds it.
        """
        self._fetches += 1
        if self._fetches > MAX_FETCHES:
            raise TextError(f"more than {MAX_FETCHES:,} fetches: this program does not end")
        uses = stream_uses(fetch.instruction, self._chip).samples
        return [word for use in uses for word in self._read_vector(fetch, use) if word is not None]

    def _read_vector(self, fetch: Issue, use: StreamUse) -> Sequence[Instruction | None]:
        if (drive := self._find_drive(fetch, use)) is None:
            return ()
        read = _driving_read(drive, use.stream)
        read_cycle = drive.issue.cycle + drive.iteration * drive.issue.distance
        slice_name = drive.issue.queue.slice_name
        if self._may_be_written(slice_name, read.address, read_cycle):
            raise TextError(f"{read.address:#x} of {slice_name} is written before: computed text cannot be checked")
        words = read_text(self._program, self._chip, (self._chip_index, slice_name, read.address))
        return words[: min(fetch.tiles, drive.issue.tiles)]

    def _find_drive(self, fetch: Issue, use: StreamUse) -> _Drive | None:
        """The nearest drive upstream on the sample's diagonal."""
        self._index_stream(use.stream)
        travel = self._travel(use.stream, fetch)
        on_diagonal = self._drives[use.stream].get(fetch.cycle + use.delay - travel, [])
        upstream = [drive for drive in on_diagonal if drive.travel <= travel]
        return max(upstream, key=lambda drive: drive.travel, default=None)

    def _index_stream(self, stream: Stream) -> None:
        """Notes the drives of a stream that is fetched from, as far as issues are known."""
        diagonals = self._drives.setdefault(stream, {})
        for issue in self._issues[self._indexed.get(stream, 0) :]:
            for use in stream_uses(issue.instruction, self._chip).drives:
                if _covers(use, stream):
                    travel = self._travel(stream, issue)
                    for iteration, cycle in enumerate(issue.dispatch_cycles()):
                        drives = diagonals.setdefault(cycle + use.delay - travel, [])
                        drives.append(_Drive(travel, issue, iteration))
        self._indexed[stream] = len(self._issues)

    def _travel(self, stream: Stream, issue: Issue) -> int:
        position = issue.queue.position
        return position if stream.direction == "E" else self._width - 1 - position

    def _may_be_written(self, slice_name: str, address: int, cycle: int) -> bool:
        for issue in self._issues[self._writers_indexed :]:
            if isinstance(issue.instruction, Write | Scatter | MemPair):
                self._writers.setdefault(issue.queue.slice_name, []).append(issue)
        self._writers_indexed = len(self._issues)
        return any(_may_write(issue, address, cycle) for issue in self._writers.get(slice_name, []))


def _covers(use: StreamUse, stream: Stream) -> bool:
    return use.stream.direction == stream.direction and 0 <= stream.index - use.stream.index < use.width


def _driving_read(drive: _Drive, stream: Stream) -> Read:
    instruction = iterate(drive.issue.instruction, drive.iteration)
    accesses = (instruction.first, instruction.second) if isinstance(instruction, MemPair) else (instruction,)
    for access in accesses:
        if isinstance(access, Read) and access.stream == stream:
            return access
    raise TextError(f"{drive.issue.describe(drive.iteration)} drives it: only text that is read can be checked")


def _may_write(issue: Issue, address: int, before_cycle: int) -> bool:
    """Whether an issue may write an address in an earlier cycle. A Scatter may write any."""
    if isinstance(issue.instruction, Scatter):
        return issue.cycle < before_cycle
    return any(
        issue.cycle + iteration * issue.distance < before_cycle
        for write in _writes(issue.instruction)
        for iteration in _iterations_at(write, address, issue.count)
    )


def _writes(instruction: Instruction) -> Iterator[Write]:
    accesses = (instruction.first, instruction.second) if isinstance(instruction, MemPair) else (instruction,)
    return (access for access in accesses if isinstance(access, Write))


def _iterations_at(write: Write, address: int, count: int) -> Iterator[int]:
    """The first iteration that writes an address, if any."""
    iteration, rest = divmod(address - write.address, write.step) if write.step else (0, address - write.address)
    if rest == 0 and 0 <= iteration < count:
        yield iteration
