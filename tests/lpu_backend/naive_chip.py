"""One chip, cycle by cycle and tile by tile, as docs/chip.md says: what the fast machine is compared with.

`run_naively` takes a program of one chip without texts and links (Ifetch and C2C are left out).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec, Queue, plan_floor
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import (
    Config,
    Gather,
    Instruction,
    MemAccess,
    MemPair,
    MxmInstruction,
    Nop,
    Notify,
    Read,
    Repeat,
    Scatter,
    SxmInstruction,
    Sync,
    VxmInstruction,
)
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Program, Region
from lpu_backend.isa.validity import find_fault
from tests.lpu_backend.naive_fabric import Fabric, Issue, NaiveHazardError, Phase, Word, join_bytes, split_bytes
from tests.lpu_backend.naive_units import NaiveMxm, NaiveSxm, NaiveVxm

Arrays = dict[str, NDArray[np.generic]]


class NaiveMem:
    """`words[slice, address, tile]`; a word that was never written is not there."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.words: dict[tuple[str, int, int], Word] = {}
        self.banks_taken: set[tuple[int, str, int, int]] = set()

    def execute(self, issue: Issue) -> None:
        instruction = issue.instruction
        if isinstance(instruction, MemPair):
            self.access(issue, instruction.first)
            self.access(issue, instruction.second)
        else:
            assert isinstance(instruction, MemAccess)
            self.access(issue, instruction)

    def access(self, issue: Issue, access: MemAccess) -> None:
        timing = self.fabric.chip.timing(access.mnemonic)
        position = issue.queue.position

        def read(tile: int) -> None:
            word = self.fabric.zeros
            if tile < issue.superlanes:
                word = self.load(issue.queue.slice_name, self.address(access, position, tile), tile)
            self.fabric.one_tile(tile, issue.cycle + timing.func, Phase.DELIVER, lambda tile: deliver(tile, word))

        def deliver(tile: int, word: Word) -> None:
            self.fabric.drive(access.stream, position, tile, word)

        def write(tile: int) -> None:
            if tile < issue.superlanes:
                word = self.fabric.sample(access.stream, position, tile)
                self.store(issue.queue.slice_name, self.address(access, position, tile), tile, word)

        action = read if isinstance(access, Read | Gather) else write
        self.fabric.each_tile(issue.cycle + timing.skew, Phase.SAMPLE, action)

    def address(self, access: MemAccess, position: int, tile: int) -> int:
        if isinstance(access, Gather | Scatter):
            return int(self.fabric.sample_elements(access.map_stream, DataType.UINT16, position, tile)[0])
        return access.address

    def take_bank(self, slice_name: str, address: int, tile: int) -> None:
        if not 0 <= address < self.fabric.chip.mem_addresses:
            raise self.fabric.refuse(HazardKind.ADDRESS, tile)
        bank = address * self.fabric.chip.mem_banks // self.fabric.chip.mem_addresses
        place = (self.fabric.now, slice_name, bank, tile)
        if place in self.banks_taken:
            raise self.fabric.refuse(HazardKind.BANK_CONFLICT, tile)
        self.banks_taken.add(place)

    def load(self, slice_name: str, address: int, tile: int) -> Word:
        self.take_bank(slice_name, address, tile)
        if (slice_name, address, tile) not in self.words:
            raise self.fabric.refuse(HazardKind.UNWRITTEN, tile)
        return self.words[slice_name, address, tile]

    def store(self, slice_name: str, address: int, tile: int, word: Word) -> None:
        self.take_bank(slice_name, address, tile)
        place = (slice_name, address, tile)
        self.fabric.one_tile(tile, self.fabric.now - tile, Phase.COMMIT, lambda _: self.words.update({place: word}))

    def fill(self, region: Region, array: NDArray[np.generic]) -> None:
        """Puts a tensor where its region says; lanes past the region's are zero."""
        whole = np.zeros((region.rows, self.fabric.chip.lanes), region.dtype.numpy)
        whole[:, : region.lanes] = array
        for row, byte, slice_name, address in region.places():
            plane = split_bytes(whole[row])[byte]
            for tile in range(self.fabric.tiles):
                lanes = self.fabric.chip.lanes_per_tile
                self.words[slice_name, address, tile] = plane[tile * lanes : (tile + 1) * lanes]

    def fetch(self, region: Region) -> NDArray[np.generic]:
        """The tensor [rows, lanes] that lies in a region; words never written are zero."""
        planes: dict[int, list[Word]] = {row: [] for row in range(region.rows)}
        for row, _, slice_name, address in region.places():
            words = [self.words.get((slice_name, address, k), self.fabric.zeros) for k in range(self.fabric.tiles)]
            planes[row].append(b"".join(words))
        return np.array([join_bytes(bytes_of_row, region.dtype)[: region.lanes] for bytes_of_row in planes.values()])


@dataclass
class NaiveQueue:
    """One queue: `parked_at` is the cycle of the Sync it waits at, `iteration` counts within a Repeat."""

    queue: Queue
    words: tuple[Instruction, ...]
    superlanes: int
    place: int = 0
    next_cycle: int = 0
    parked_at: int | None = None
    iteration: int = 0

    def step(self, cycle: int, releases: set[int]) -> Instruction | None:
        """The instruction that goes in this cycle. NaiveHazardError if it is none of this queue's."""
        if self.parked_at is not None and cycle in releases and self.parked_at < cycle:
            self.parked_at = None
            self.next_cycle = cycle
        if self.parked_at is not None or cycle < self.next_cycle or self.place == len(self.words):
            return None
        return self.dispatch(cycle)

    def dispatch(self, cycle: int) -> Instruction:
        instruction = self.words[self.place]
        repeat = self.following_repeat()
        if repeat is None or self.iteration == repeat.count:
            self.next_cycle = cycle + 1
            self.place += 1 if repeat is None else 2
            stepped, self.iteration = step_fields(instruction, self.iteration), 0
        else:
            self.next_cycle = cycle + repeat.distance
            stepped, self.iteration = step_fields(instruction, self.iteration), self.iteration + 1
        if isinstance(instruction, Nop):
            self.next_cycle = cycle + instruction.cycles
        if isinstance(instruction, Sync):
            self.parked_at = cycle
        return stepped

    def following_repeat(self) -> Repeat | None:
        """The Repeat of the instruction that is next, if it may have one."""
        instruction = self.words[self.place]
        following = self.words[self.place + 1 : self.place + 2]
        may_repeat = isinstance(instruction, MemAccess | MemPair | VxmInstruction | MxmInstruction | SxmInstruction)
        return following[0] if may_repeat and following and isinstance(following[0], Repeat) else None

    @property
    def is_at_rest(self) -> bool:
        return self.parked_at is not None or self.place == len(self.words)


def step_fields(instruction: Instruction, times: int) -> Instruction:
    """The instruction of iteration `times` of a Repeat."""
    if isinstance(instruction, MemPair):
        return MemPair(step_fields(instruction.first, times), step_fields(instruction.second, times))
    for field_name in ("address", "row", "slot"):
        if hasattr(instruction, "step") and hasattr(instruction, field_name):
            stepped = getattr(instruction, field_name) + instruction.step * times
            return replace(instruction, **{field_name: stepped})
    return instruction


class NaiveChip:
    """Queues and slices of one chip, stepped together."""

    def __init__(self, program: Program, chip: ChipSpec) -> None:
        assert program.chips == 1
        assert not program.texts
        self.chip = chip
        self.fabric = Fabric(chip)
        self.mem = NaiveMem(self.fabric)
        vxm, mxm, sxm = NaiveVxm(self.fabric), NaiveMxm(self.fabric), NaiveSxm(self.fabric)
        self.units: dict[str, Callable[[Issue], None]] = {
            "MEM": self.mem.execute,
            "VXM": vxm.execute,
            "MXM": mxm.execute,
            "SXM": sxm.execute,
        }
        names = plan_floor(chip).queues
        self.queues = [NaiveQueue(names[name], words, chip.tiles) for name, words in program.queues[0].items()]
        self.releases: set[int] = set()

    def run(self) -> None:
        """Steps until nothing is left to do. Raises NaiveHazardError."""
        self.check_queues()
        while self.is_busy():
            self.step()
            self.raise_first_hazard(self.fabric.now - self.chip.tiles)
        self.raise_first_hazard(self.fabric.now)
        if any(queue.parked_at is not None for queue in self.queues):
            raise NaiveHazardError(HazardKind.DEADLOCK, self.fabric.now)

    def check_queues(self) -> None:
        """What can be refused before the first cycle: too many instructions, and those of other units."""
        for queue in self.queues:
            if len(queue.words) > self.chip.queue_instructions:
                raise NaiveHazardError(HazardKind.QUEUE_OVERFLOW, 0)
            if any(find_fault(word, queue.queue, self.chip) for word in queue.words):
                raise NaiveHazardError(HazardKind.BAD_INSTRUCTION, 0)

    def is_busy(self) -> bool:
        release_to_come = any(cycle >= self.fabric.now for cycle in self.releases)
        return bool(self.fabric.agenda) or release_to_come or not all(queue.is_at_rest for queue in self.queues)

    def raise_first_hazard(self, settled_cycle: int) -> None:
        """Waits until every tile is past the cycle: another tile may yet meet a hazard of an earlier one."""
        if self.fabric.hazards:
            first = min(self.fabric.hazards, key=lambda hazard: hazard.cycle)
            if first.cycle <= settled_cycle:
                kinds = frozenset(each.kind for each in self.fabric.hazards if each.cycle == first.cycle)
                raise NaiveHazardError(first.kind, first.cycle, kinds)

    def step(self) -> None:
        self.fabric.move_streams()
        for queue in self.queues:
            instruction = queue.step(self.fabric.now, self.releases)
            if instruction is not None:
                try:
                    self.begin(queue, instruction)
                except NaiveHazardError as hazard:
                    self.fabric.hazards.append(hazard)
        self.fabric.act()
        self.fabric.now += 1

    def begin(self, queue: NaiveQueue, instruction: Instruction) -> None:
        """Carries out a control instruction, or hands any other to its unit."""
        now = self.fabric.now
        if isinstance(instruction, Repeat) or find_fault(instruction, queue.queue, self.chip):
            raise NaiveHazardError(HazardKind.BAD_INSTRUCTION, now)
        if isinstance(instruction, Nop):
            return
        self.fabric.last = max(self.fabric.last, now)
        if isinstance(instruction, Notify):
            self.releases.add(now + self.chip.barrier_cycles)
        elif isinstance(instruction, Config):
            queue.superlanes = instruction.superlanes
        elif not isinstance(instruction, Sync):
            unit = self.units[queue.queue.slice_name[:3]]
            unit(Issue(queue.queue, instruction, now, queue.superlanes))


def run_naively(program: Program, inputs: Mapping[str, NDArray[np.generic]], chip: ChipSpec) -> tuple[Arrays, int]:
    """What lies in each region at the end, [rows, lanes] of its type, and the program's cycles. NaiveHazardError."""
    machine = NaiveChip(program, chip)
    for region in program.regions:
        if region.kind != "output":
            machine.mem.fill(region, region.array() if region.kind == "constant" else inputs[region.name])
    machine.run()
    outputs = {region.name: machine.mem.fetch(region) for region in program.regions}
    last = machine.fabric.last
    return outputs, last + chip.tiles if last >= 0 else 0
