"""The stream registers of one chip, moved one position each cycle, and what each tile has still to do.

Part of the naive machine (`naive_chip`), which reads docs/chip.md literally: every register of every tile exists, and
an instruction of cycle t acts on tile k at t + k. Slow and plain on purpose; the fast machine is compared with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec, Queue, plan_floor
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Instruction
from lpu_backend.isa.operands import DataType, Stream

Word = bytes
"""What one tile holds of a vector: a byte a lane."""


class NaiveHazardError(Exception):
    """The first hazard; `cycle` is that of the southernmost tile, `kinds` are all that take place in that cycle."""

    def __init__(self, kind: HazardKind, cycle: int, kinds: frozenset[HazardKind] = frozenset()) -> None:
        super().__init__(f"{kind.value} at cycle {cycle}")
        self.kind = kind
        self.cycle = cycle
        self.kinds = kinds or frozenset({kind})


class Phase(IntEnum):
    """The order of things within a cycle of a tile."""

    DELIVER = 0  # results enter registers
    INSTALL = 1  # IW takes the weight buffer, before LW fills it again
    SAMPLE = 2  # streams, memory and registers are read
    COMMIT = 3  # memory is written; a product that is still there is lost


@dataclass(frozen=True)
class Issue:
    """One dispatched instruction. Only the southernmost `superlanes` tiles have power."""

    queue: Queue
    instruction: Instruction
    cycle: int
    superlanes: int


class Fabric:
    """Stream registers and agenda. `now` counts real cycles: tile k is then in cycle now - k of the southernmost."""

    def __init__(self, chip: ChipSpec) -> None:
        self.chip = chip
        self.tiles = chip.tiles
        self.width = plan_floor(chip).width
        self.zeros = bytes(chip.lanes_per_tile)
        self.now = 0
        self.last = -1
        self.hazards: list[NaiveHazardError] = []
        self.agenda: dict[int, list[tuple[Phase, Callable[[int], None], int]]] = {}
        self.registers: dict[str, list[list[list[Word | None]]]] = {  # [direction][index][position][tile]
            direction: [[self._empty() for _ in range(self.width)] for _ in range(chip.streams_each_way)]
            for direction in "EW"
        }
        self.driven: set[tuple[Stream, int, int]] = set()

    def _empty(self) -> list[Word | None]:
        return [None] * self.tiles

    def each_tile(self, cycle: int, phase: Phase, action: Callable[[int], None]) -> None:
        """Has `action(tile)` done in each tile when that tile is in `cycle`."""
        for tile in range(self.tiles):
            self.one_tile(tile, cycle, phase, action)

    def one_tile(self, tile: int, cycle: int, phase: Phase, action: Callable[[int], None]) -> None:
        assert cycle + tile >= self.now
        self.agenda.setdefault(cycle + tile, []).append((phase, action, tile))

    def move_streams(self) -> None:
        """Every register takes what its neighbour upstream held; at the edges nothing comes in."""
        for positions in self.registers["E"]:
            positions.insert(0, self._empty())
            positions.pop()
        for positions in self.registers["W"]:
            positions.pop(0)
            positions.append(self._empty())
        self.driven.clear()

    def act(self) -> None:
        """Does all that is due now, phase by phase."""
        for phase in Phase:
            for due, action, tile in list(self.agenda.get(self.now, [])):
                if due is phase:
                    if phase is Phase.SAMPLE and tile == 0:
                        self.last = max(self.last, self.now)
                    try:
                        action(tile)
                    except NaiveHazardError as hazard:
                        self.hazards.append(hazard)
        self.agenda.pop(self.now, None)

    def refuse(self, kind: HazardKind, tile: int) -> NaiveHazardError:
        """A hazard met in this tile now."""
        return NaiveHazardError(kind, self.now - tile)

    def drive(self, stream: Stream, position: int, tile: int, word: Word) -> None:
        place = (stream, position, tile)
        if place in self.driven:
            raise self.refuse(HazardKind.STREAM_CONFLICT, tile)
        assert len(word) == len(self.zeros)
        self.driven.add(place)
        self.registers[stream.direction][stream.index][position][tile] = word
        self.last = max(self.last, self.now - tile)

    def sample(self, stream: Stream, position: int, tile: int) -> Word:
        word = self.registers[stream.direction][stream.index][position][tile]
        if word is None:
            raise self.refuse(HazardKind.OPERAND_MISSING, tile)
        return word

    def sample_words(self, first: Stream, count: int, position: int, tile: int) -> list[Word]:
        """`count` neighbouring streams."""
        return [self.sample(Stream(first.direction, first.index + i), position, tile) for i in range(count)]

    def drive_words(self, first: Stream, words: list[Word], position: int, tile: int) -> None:
        for i, word in enumerate(words):
            self.drive(Stream(first.direction, first.index + i), position, tile, word)

    def sample_elements(self, first: Stream, dtype: DataType, position: int, tile: int) -> NDArray[np.generic]:
        """[lanes_per_tile] of `dtype`: byte b of each element is on stream first + b."""
        words = self.sample_words(first, dtype.streams, position, tile)
        return join_bytes(words, dtype)

    def drive_elements(self, first: Stream, elements: NDArray[np.generic], position: int, tile: int) -> None:
        self.drive_words(first, split_bytes(elements), position, tile)


def join_bytes(words: list[Word], dtype: DataType) -> NDArray[np.generic]:
    """Elements of the words that hold their lowest, next, ... bytes."""
    data = bytes(word[lane] for lane in range(len(words[0])) for word in words)
    return np.frombuffer(data, dtype=dtype.numpy)


def split_bytes(elements: NDArray[np.generic]) -> list[Word]:
    """The opposite of `join_bytes`."""
    data = elements.tobytes()
    size = elements.dtype.itemsize
    return [data[byte::size] for byte in range(size)]
