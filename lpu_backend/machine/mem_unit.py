"""MEM: Read, Write, Gather, Scatter and pairs of accesses."""

from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Gather, MemPair, Read, Scatter, Write
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.machine.chip import ChipState
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.vectors import Vector


def read(chip: ChipState, issue: Issue, access: Read, cycle: int) -> None:
    """One vector onto a stream."""
    _take_bank(chip, issue, access.address, cycle)
    vector = chip.slice(issue.queue.slice_name).read(access.address)
    if vector is None or vector.absent is not None:
        _refuse_unwritten(chip, issue, vector, [access.address] * issue.superlanes, cycle)
    if vector is not None:
        chip.drive(issue, access.stream, issue.cycle + chip.spec.timing("Read").func, vector)


def write(chip: ChipState, issue: Issue, access: Write, cycle: int) -> None:
    """One vector from a stream."""
    vector = chip.sample(issue, access.stream, cycle)
    _take_bank(chip, issue, access.address, cycle)
    chip.slice(issue.queue.slice_name).write(access.address, vector, issue.superlanes)


def access_pair(chip: ChipState, issue: Issue, pair: MemPair, cycle: int) -> None:
    """Two accesses, which must lie in different banks."""
    for access in (pair.first, pair.second):
        if isinstance(access, Read):
            read(chip, issue, access, cycle)
        else:
            write(chip, issue, access, cycle)


def gather(chip: ChipState, issue: Issue, instruction: Gather, cycle: int) -> None:
    """In each tile the word that the map names."""
    addresses = _sample_addresses(chip, issue, instruction.map_stream, cycle)
    _take_banks(chip, issue, addresses, cycle)
    vector = chip.slice(issue.queue.slice_name).read_words(addresses)
    _refuse_unwritten(chip, issue, vector, addresses, cycle)
    chip.drive(issue, instruction.stream, issue.cycle + chip.spec.timing("Gather").func, vector)


def scatter(chip: ChipState, issue: Issue, instruction: Scatter, cycle: int) -> None:
    """In each tile the word to where the map says."""
    addresses = _sample_addresses(chip, issue, instruction.map_stream, cycle)
    vector = chip.sample(issue, instruction.stream, cycle)
    _take_banks(chip, issue, addresses, cycle)
    tiles_of: dict[int, list[int]] = {}
    for tile, address in enumerate(addresses):
        tiles_of.setdefault(address, []).append(tile)
    chip.slice(issue.queue.slice_name).write_words(tiles_of, vector)


def _take_bank(chip: ChipState, issue: Issue, address: int, cycle: int) -> None:
    spec = chip.spec
    if not 0 <= address < spec.mem_addresses:
        detail = f"address {address:#x} is past the last, {spec.mem_addresses - 1:#x}"
        raise chip.refuse(HazardKind.ADDRESS, issue, cycle, detail)
    other = chip.slice(issue.queue.slice_name).take_bank(address, cycle, issue)
    if other is not None:
        bank = address // (spec.mem_addresses // spec.mem_banks)
        raise chip.refuse(HazardKind.BANK_CONFLICT, issue, cycle, f"bank {bank} is taken in this cycle by {other}")


def _take_banks(chip: ChipState, issue: Issue, addresses: list[int], cycle: int) -> None:
    """One claim a bank: the tiles of one instruction use a bank together, each its own part of it."""
    bank_addresses = chip.spec.mem_addresses // chip.spec.mem_banks
    outside = [address for address in addresses if address >= chip.spec.mem_addresses]
    claims = {address // bank_addresses: address for address in addresses}
    for address in outside or claims.values():
        _take_bank(chip, issue, address, cycle)


def _sample_addresses(chip: ChipState, issue: Issue, map_stream: Stream, cycle: int) -> list[int]:
    elements = chip.sample_elements(issue, map_stream, DataType.UINT16, cycle)
    addresses: list[int] = elements[:: chip.spec.lanes_per_tile].tolist()
    return addresses[: issue.superlanes]


def _refuse_unwritten(chip: ChipState, issue: Issue, vector: Vector | None, addresses: list[int], cycle: int) -> None:
    if vector is None:
        raise chip.refuse(HazardKind.UNWRITTEN, issue, cycle, f"address {addresses[0]:#x} was never written")
    for tile, address in enumerate(addresses):
        if vector.absent is not None and vector.absent[tile]:
            detail = f"address {address:#x} was never written in tile {tile}"
            raise chip.refuse(HazardKind.UNWRITTEN, issue, cycle, detail)
