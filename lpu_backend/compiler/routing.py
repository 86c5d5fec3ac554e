"""Route: every vector between chips gets a link and a cycle.

An all-gather is a window of its own: nothing else is under way on the chips when it begins, and nothing when it ends.
Its cycles begin at 0. `gather_trees` says which way vectors go, `gather_schedule` in which cycles, and
`window_check.verify_window` whether that is so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import NamedTuple

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.gather_schedule import Action, ChipActions, GatherScheduler, Site, Vector
from lpu_backend.compiler.gather_trees import Cast, TreePlanner
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.value_place import ValuePlace
from lpu_backend.isa.instructions import Instruction, Read, Write
from lpu_backend.network.lowering import TimedQueues
from lpu_backend.network.timing import time_chip


class GatherShape(NamedTuple):
    """Each chip's `blocks` x `rows` rows of `row_bytes` vectors to all: row b * chips * rows + place * rows + r of what
    is gathered is row b * rows + r of the chip at `place` in the group."""

    rows: int
    blocks: int
    row_bytes: int

    @property
    def chip_rows(self) -> int:
        """Rows that each chip brings."""
        return self.rows * self.blocks

    def destination_row(self, row: int, place: int, chips: int) -> int:
        """The row that row `row` of a chip becomes."""
        block, within = divmod(row, self.rows)
        return (block * chips + place) * self.rows + within


@dataclass(frozen=True, eq=False)
class GatherWindow:
    """An all-gather of a group. After `cycles` every row is in its place and nothing is under way any more: the next
    window may begin at once, as a link's last vector was sent more than a link's latency ago."""

    group: GroupShape
    shape: GatherShape
    source: ValuePlace
    destination: ValuePlace
    cycles: int
    chip: ChipSpec
    _actions: dict[int, ChipActions]

    def queues(self, member: int) -> TimedQueues:
        """What the group's chip at place `member` dispatches, by queue and cycle."""
        return self._fill(self.group.members[member])

    @property
    def relays(self) -> dict[int, TimedQueues]:
        """The same for chips out of the group that hand vectors on, by their numbers in the system.

        They keep what passes in the places that `destination` has on the members.
        """
        others = [chip + self._shift for chip in sorted(self._actions)]
        return {chip: self._fill(chip) for chip in others if chip not in self.group.members}

    @property
    def _shift(self) -> int:
        return self.group.first_chip - self.group.canonical(self.chip).first_chip

    def _fill(self, chip: int) -> TimedQueues:
        return fill_addresses(self._actions.get(chip - self._shift, {}), self.source, self.destination)


def route_gather(
    group: GroupShape,
    rows: int,
    blocks: int,
    source: ValuePlace,
    destination: ValuePlace,
    row_bytes: int,
    chip: ChipSpec = GROQCHIP1,
) -> GatherWindow:
    """The window of an AllGather, see GatherShape; `rows` a block and chip, on one chip copies alone.

    A place's `spread` is how many times `row_bytes` slices it has; source and destination may differ in it. They may
    share slices, not addresses. Schedules are kept: one of a shape and slices once made costs no time again.
    CompileError, TopologyError.
    """
    shape = GatherShape(rows, blocks, row_bytes)
    for place in (source, destination):
        if not place.slices or row_bytes < 1 or len(place.slices) % row_bytes:
            raise CompileError(f"{len(place.slices)} slices are no place for rows of {row_bytes} bytes")
    group.refuse_misfit(chip)
    actions, cycles = _schedule(group.canonical(chip), shape, source.slices, destination.slices, chip)
    return GatherWindow(group, shape, source, destination, cycles, chip, actions)


@cache
def _schedule(
    group: GroupShape,
    shape: GatherShape,
    source_slices: tuple[str, ...],
    destination_slices: tuple[str, ...],
    chip: ChipSpec,
) -> tuple[dict[int, ChipActions], int]:
    timing = time_chip(chip)
    planner = TreePlanner(group, chip, timing, shape.chip_rows * shape.row_bytes)
    vectors = list_vectors(group, shape, (source_slices, destination_slices), planner.plan)
    scheduler = GatherScheduler(planner.topology, chip, timing)
    scheduler.move(vectors)
    for vector in vectors:
        scheduler.copy(vector)
    return dict(scheduler.actions), scheduler.last_cycle + 1


def list_vectors(
    group: GroupShape,
    shape: GatherShape,
    slices: tuple[tuple[str, ...], tuple[str, ...]],
    plan: Callable[[int], dict[int, list[Cast]]],
) -> list[Vector]:
    """All chips' vectors in turn, from the first slices to the second; `plan` says how one of a chip goes its way."""
    vectors = []
    for row, byte in product(range(shape.chip_rows), range(shape.row_bytes)):
        source = Site("source", *_find_place(slices[0], shape.row_bytes, row, byte))
        for place, owner in enumerate(group.members):
            there = shape.destination_row(row, place, group.chips)
            destination = Site("destination", *_find_place(slices[1], shape.row_bytes, there, byte))
            vectors.append(Vector(owner, source, destination, plan(owner)))
    return vectors


def fill_addresses(
    actions: Mapping[str, Mapping[int, Action]], source: ValuePlace, destination: ValuePlace
) -> TimedQueues:
    """A chip's instructions with the addresses that two places give them; queues with nothing to do lack."""
    addresses = {"source": source.address, "destination": destination.address, None: 0}
    return {
        queue: {cycle: _move(action.instruction, addresses[action.value]) for cycle, action in timed.items()}
        for queue, timed in actions.items()
        if timed
    }


def _find_place(slices: tuple[str, ...], row_bytes: int, row: int, byte: int) -> tuple[str, int]:
    """The slice of a byte of a row, and its address from the value's first (isa.Region)."""
    spread = len(slices) // row_bytes
    return slices[byte * spread + row % spread], row // spread


def _move(instruction: Instruction, address: int) -> Instruction:
    if address and isinstance(instruction, Read | Write):
        return replace(instruction, address=instruction.address + address)
    return instruction
