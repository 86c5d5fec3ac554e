"""What an instruction samples and drives: the streams, and how many cycles after its dispatch."""

from typing import NamedTuple

import numpy as np

from lpu_backend.checker.issues import IntArray, IssueTable
from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import Stream
from lpu_backend.isa.operations import name_operation
from lpu_backend.isa.validity import list_stream_groups


class StreamUse(NamedTuple):
    """A group of `width` streams, sampled or driven `delay` cycles after dispatch."""

    stream: Stream
    width: int
    delay: int


class StreamUses(NamedTuple):
    """All that one dispatch of an instruction samples, and all that it drives."""

    samples: tuple[StreamUse, ...]
    drives: tuple[StreamUse, ...]


def _is_driven(instruction: isa.Instruction, field: str) -> bool:
    return field == "destination" or (
        field == "stream" and isinstance(instruction, isa.Read | isa.Gather | isa.Receive)
    )


def stream_uses(instruction: isa.Instruction, chip: ChipSpec) -> StreamUses:
    """What one dispatch samples at its d_skew and drives at its d_func."""
    if isinstance(instruction, isa.MemPair):
        first, second = stream_uses(instruction.first, chip), stream_uses(instruction.second, chip)
        return StreamUses(first.samples + second.samples, first.drives + second.drives)
    timing = chip.timing(name_operation(instruction))
    if isinstance(instruction, isa.Ifetch):
        delays = range(timing.skew, timing.skew + chip.ifetch_vectors)
        return StreamUses(tuple(StreamUse(instruction.stream, 1, delay) for delay in delays), ())
    samples: dict[StreamUse, None] = {}  # a Binary may name one group twice
    drives: list[StreamUse] = []
    for field, stream, width in list_stream_groups(instruction, chip):
        if not _is_driven(instruction, field):
            samples[StreamUse(stream, width, timing.skew)] = None
        elif isinstance(instruction, isa.Rotate):
            drives.append(StreamUse(stream, instruction.size**2, timing.func))
        else:
            drives.append(StreamUse(stream, width, timing.func))
    return StreamUses(tuple(samples), tuple(drives))


class StreamEvents(NamedTuple):
    """Vectors sampled or driven, a row each, as columns.

    `issue` and `iteration` say by what, `cycle` when, `stream` which (chip x streams, east first), and `travel` how
    many registers downstream of its stream's first the slice sits: a vector keeps `cycle` - `travel` all its way.
    """

    issue: IntArray
    iteration: IntArray
    cycle: IntArray
    stream: IntArray
    travel: IntArray


def list_stream_events(table: IssueTable, chip: ChipSpec) -> tuple[StreamEvents, StreamEvents]:
    """Every sample and every drive of a program."""
    known: dict[object, StreamUses] = {}
    uses: list[StreamUses] = []
    for issue in table:
        shape = _shape(issue.instruction)
        if shape not in known:
            known[shape] = stream_uses(issue.instruction, chip)
        uses.append(known[shape])
    return _expand(table, [use.samples for use in uses], chip), _expand(table, [use.drives for use in uses], chip)


def _shape(instruction: isa.Instruction) -> object:
    """Equal for instructions that use the same streams: the many Reads and Writes differ in their addresses alone."""
    if isinstance(instruction, isa.Read | isa.Write):
        return type(instruction), instruction.stream
    return instruction


def _expand(table: IssueTable, uses: list[tuple[StreamUse, ...]], chip: ChipSpec) -> StreamEvents:
    issues = [row for row, of_issue in enumerate(uses) for _ in of_issue]
    entries = [use for of_issue in uses for use in of_issue]
    spread = table.spread(issues, [use.width for use in entries])
    west = np.array([use.stream.direction == "W" for use in entries], dtype=bool)[spread.entry]
    index = np.array([use.stream.index for use in entries], dtype=np.int64)[spread.entry] + spread.part
    delay = np.array([use.delay for use in entries], dtype=np.int64)[spread.entry]
    position = table.position[spread.issue]
    return StreamEvents(
        spread.issue,
        spread.iteration,
        spread.dispatch_cycle + delay,
        (table.chip[spread.issue] * 2 + west) * chip.streams_each_way + index,
        np.where(west, plan_floor(chip).width - 1 - position, position),
    )


def name_stream(stream: int, chip: ChipSpec) -> str:
    """The name of a stream by its number in StreamEvents."""
    west, index = divmod(stream % (2 * chip.streams_each_way), chip.streams_each_way)
    return f"{'EW'[west]}{index}"
