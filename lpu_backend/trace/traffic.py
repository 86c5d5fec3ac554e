"""Which streams an instruction samples and drives, and how many cycles after its dispatch."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.isa.instructions import Gather, Ifetch, Instruction, MemPair, Read, Receive, Rotate
from lpu_backend.isa.operands import Stream
from lpu_backend.isa.operations import name_operation
from lpu_backend.isa.validity import list_stream_groups


class Transfer(NamedTuple):
    """`streams` streams from `stream` on, sampled or driven `delay_cycles` after the dispatch."""

    stream: Stream
    streams: int
    delay_cycles: int


class Traffic(NamedTuple):
    """The stream operands and results of one instruction."""

    samples: tuple[Transfer, ...]
    drives: tuple[Transfer, ...]


@lru_cache(maxsize=65_536)
def list_traffic(instruction: Instruction, chip: ChipSpec) -> Traffic:
    """Every stream group that an instruction samples and drives, by its slice's timing (docs/chip.md)."""
    if isinstance(instruction, MemPair):
        first, second = list_traffic(instruction.first, chip), list_traffic(instruction.second, chip)
        return Traffic(first.samples + second.samples, first.drives + second.drives)
    return Traffic(tuple(_list_samples(instruction, chip)), tuple(_list_drives(instruction, chip)))


def _list_samples(instruction: Instruction, chip: ChipSpec) -> Iterator[Transfer]:
    skew_cycles = chip.timing(name_operation(instruction)).skew
    vectors = chip.ifetch_vectors if isinstance(instruction, Ifetch) else 1
    for field, stream, streams in list_stream_groups(instruction):
        if not _is_result(instruction, field):
            yield from (Transfer(stream, streams, skew_cycles + vector) for vector in range(vectors))


def _list_drives(instruction: Instruction, chip: ChipSpec) -> Iterator[Transfer]:
    func_cycles = chip.timing(name_operation(instruction)).func
    for field, stream, streams in list_stream_groups(instruction):
        if _is_result(instruction, field):
            driven = instruction.size**2 if isinstance(instruction, Rotate) else streams
            yield Transfer(stream, driven, func_cycles)


def _is_result(instruction: Instruction, field: str) -> bool:
    return field == "destination" or (field == "stream" and isinstance(instruction, Read | Gather | Receive))
