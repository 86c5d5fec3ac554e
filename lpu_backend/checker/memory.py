"""SRAM: no bank accessed twice in a cycle, no address outside a slice, no read of what nothing has written."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lpu_backend.checker.contents import list_stored
from lpu_backend.checker.issues import BoolArray, IntArray, IssueTable
from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa.instructions import Gather, Instruction, MemPair, Read, Scatter, Write
from lpu_backend.isa.operations import name_operation
from lpu_backend.isa.program import Program

_BEFORE_START = -1
_READ, _WRITE, _GATHER, _SCATTER = range(4)


class MemoryAccesses(NamedTuple):
    """Accesses, a row each, as columns. Each slice of each chip has its `slice_key`; mapped ones have address 0."""

    issue: IntArray
    iteration: IntArray
    cycle: IntArray
    slice_key: IntArray
    address: IntArray
    tiles: IntArray
    kind: IntArray

    def select(self, rows: BoolArray) -> "MemoryAccesses":
        """The accesses of some rows."""
        return MemoryAccesses(*(column[rows] for column in self))


class _Access(NamedTuple):
    """One access of one instruction."""

    address: int
    step: int
    delay: int
    kind: int


def list_accesses(table: IssueTable, chip: ChipSpec) -> MemoryAccesses:
    """Every access of a program. A Read accesses its bank when it is dispatched, the others when they sample."""
    issues: list[int] = []
    entries: list[_Access] = []
    for row, issue in enumerate(table):
        for access in _accesses_of(issue.instruction, chip):
            issues.append(row)
            entries.append(access)
    spread = table.spread(issues)
    columns = np.array(entries, dtype=np.int64).reshape(-1, len(_Access._fields))[spread.entry]
    return MemoryAccesses(
        spread.issue,
        spread.iteration,
        spread.dispatch_cycle + columns[:, 2],
        table.chip[spread.issue] * plan_floor(chip).width + table.position[spread.issue],
        columns[:, 0] + spread.iteration * columns[:, 1],
        table.tiles[spread.issue],
        columns[:, 3],
    )


def _accesses_of(instruction: Instruction, chip: ChipSpec) -> Iterator[_Access]:
    match instruction:
        case Read(address=address, step=step):
            yield _Access(address, step, 0, _READ)
        case Write(address=address, step=step):
            yield _Access(address, step, chip.timing("Write").skew, _WRITE)
        case MemPair(first, second):
            yield from _accesses_of(first, chip)
            yield from _accesses_of(second, chip)
        case Gather() | Scatter():
            delay = chip.timing(name_operation(instruction)).skew
            yield _Access(0, 0, delay, _GATHER if isinstance(instruction, Gather) else _SCATTER)


def list_memory_hazards(program: Program, table: IssueTable, chip: ChipSpec) -> Iterator[Hazard]:
    """ADDRESS, BANK_CONFLICT and UNWRITTEN. What a Gather reads is left to the machine: its map is data."""
    accesses = list_accesses(table, chip)
    outside = (accesses.kind <= _WRITE) & ((accesses.address < 0) | (accesses.address >= chip.mem_addresses))
    for row in np.flatnonzero(outside).tolist():
        detail = f"address {accesses.address[row]:#x}, a slice has {chip.mem_addresses:#x}"
        yield table.refuse(accesses, row, HazardKind.ADDRESS, detail)
    accesses = accesses.select(~outside)
    yield from _list_bank_conflicts(table, accesses, chip)
    yield from _list_unwritten(program, table, accesses, chip)


def _list_bank_conflicts(table: IssueTable, accesses: MemoryAccesses, chip: ChipSpec) -> Iterator[Hazard]:
    """Mapped accesses take every bank, as any tile may use any."""
    banks = chip.mem_banks
    is_mapped = accesses.kind >= _GATHER
    copies = np.where(is_mapped, banks, 1)
    rows = np.repeat(np.arange(len(copies)), copies)
    copy = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
    bank = np.where(is_mapped[rows], copy, accesses.address[rows] * banks // chip.mem_addresses)
    cycle, slice_bank = accesses.cycle[rows], accesses.slice_key[rows] * banks + bank
    order = np.lexsort((rows, slice_bank, cycle))
    taken = (np.diff(cycle[order]) == 0) & (np.diff(slice_bank[order]) == 0)
    for place in np.flatnonzero(taken).tolist():
        first, second = int(rows[order[place]]), int(rows[order[place + 1]])
        detail = f"bank {bank[order[place]]} is accessed in this cycle by {table.describe(accesses, first)} too"
        yield table.refuse(accesses, second, HazardKind.BANK_CONFLICT, detail)


def _list_unwritten(program: Program, table: IssueTable, accesses: MemoryAccesses, chip: ChipSpec) -> Iterator[Hazard]:
    """A write under Config fills its southernmost tiles alone, so what counts is the most tiles written before."""
    written = np.maximum(_tiles_written(program, accesses, chip), _tiles_scattered(accesses))
    for row in np.flatnonzero((accesses.kind == _READ) & (written < accesses.tiles)).tolist():
        detail = f"{accesses.address[row]:#x} is written in {written[row]} of {accesses.tiles[row]} tiles before"
        yield table.refuse(accesses, row, HazardKind.UNWRITTEN, detail)


def _tiles_written(program: Program, accesses: MemoryAccesses, chip: ChipSpec) -> IntArray:
    """For each access, the tiles of its address that are written in earlier cycles, Scatters apart."""
    slice_key, address = _stored_places(program, chip)
    stored = len(address)
    place = np.concatenate([slice_key, accesses.slice_key]) * chip.mem_addresses
    place += np.concatenate([address, accesses.address])
    cycle = np.concatenate([np.full(stored, _BEFORE_START), accesses.cycle])
    is_write = np.concatenate([np.ones(stored, dtype=bool), accesses.kind == _WRITE])
    tiles = np.concatenate([np.full(stored, chip.tiles), accesses.tiles])

    order = np.lexsort((is_write, cycle, place))  # in one cycle reads come first
    group = np.cumsum(np.diff(place[order], prepend=-1) != 0) * (chip.tiles + 1)
    most = np.maximum.accumulate(group + np.where(is_write, tiles, 0)[order]) - group
    written = np.zeros(len(order), dtype=np.int64)
    written[order] = most
    return written[stored:]


def _stored_places(program: Program, chip: ChipSpec) -> tuple[IntArray, IntArray]:
    floorplan = plan_floor(chip)
    stored = list(list_stored(program, chip))
    keys = [item.chip * floorplan.width + floorplan.positions[item.slice_name] for item in stored]
    lengths = [len(item.addresses) for item in stored]
    empty = np.zeros(0, dtype=np.int64)
    return np.repeat(np.array(keys, dtype=np.int64), lengths), np.concatenate([empty, *(s.addresses for s in stored)])


def _tiles_scattered(accesses: MemoryAccesses) -> IntArray:
    """For each access, the tiles in which a Scatter of an earlier cycle may have written its address: any address."""
    scattered = np.zeros(len(accesses.cycle), dtype=np.int64)
    scatters = accesses.select(accesses.kind == _SCATTER)
    for slice_key in np.unique(scatters.slice_key):
        of_slice = scatters.select(scatters.slice_key == slice_key)
        order = np.argsort(of_slice.cycle, kind="stable")
        most = np.concatenate([[0], np.maximum.accumulate(of_slice.tiles[order])])
        here = accesses.slice_key == slice_key
        scattered[here] = most[np.searchsorted(of_slice.cycle[order], accesses.cycle[here], side="left")]
    return scattered
