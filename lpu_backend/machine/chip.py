"""One chip's state, and what all its units share: sampling, driving, checking words, refusing."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic import ecc
from lpu_backend.assembly import format_instruction
from lpu_backend.chip import OPERATION_TIMINGS, ChipSpec, plan_floor
from lpu_backend.hazards import Hazard, HazardError, HazardKind
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.machine.alu import AluRegister
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.link import LinkEnd
from lpu_backend.machine.plane import Plane
from lpu_backend.machine.sram import Slice
from lpu_backend.machine.streams import StreamRegisters
from lpu_backend.machine.vectors import Bytes, Elements, Vector, join, power_down, split

WORD_BITS = 128


class ChipState:
    """Registers, memory and units of chip `index`. `last_cycle` is the latest in which anything happened."""

    def __init__(self, spec: ChipSpec, index: int, at_end_of_cycle: Callable[[int, Callable[[], None]], None]) -> None:
        self.spec = spec
        self.at_end_of_cycle = at_end_of_cycle
        self.index = index
        self.plan = plan_floor(spec)
        ahead_cycles = max(timing.func for timing in OPERATION_TIMINGS.values())
        self.streams = StreamRegisters(self.plan.width, ahead_cycles)
        self.slices: dict[str, Slice] = {}
        self.planes = {name: Plane(spec) for name in self.plan.positions if name.startswith("MXM")}
        self.alus = [AluRegister() for _ in range(spec.vxm_alus_per_lane)]
        self.links: dict[int, LinkEnd] = {}
        self.corrected_bits = 0
        self.last_cycle = -1

    def slice(self, name: str) -> Slice:
        """The SRAM of a MEM slice, made when first asked for."""
        found = self.slices.get(name)
        if found is None:
            spec = self.spec
            found = self.slices[name] = Slice(spec.mem_addresses, spec.mem_banks, spec.tiles, spec.lanes_per_tile)
        return found

    def refuse(self, kind: HazardKind, issue: Issue, cycle: int, detail: str) -> HazardError:
        """The error to raise."""
        text = format_instruction(issue.instruction)
        return HazardError(Hazard(kind, self.index, cycle, issue.queue.name, text, detail))

    def note_cycle(self, cycle: int) -> None:
        """Something happened in this cycle."""
        self.last_cycle = max(self.last_cycle, cycle)

    def sample(self, issue: Issue, stream: Stream, cycle: int) -> Vector:
        """The vector on one stream register of the issuing slice, its words checked. OPERAND_MISSING, ECC."""
        position = issue.queue.position
        vector = self.streams.sample(stream, position, cycle)
        if vector is None:
            reason = self.streams.explain_absence(stream, position, cycle)
            raise self.refuse(HazardKind.OPERAND_MISSING, issue, cycle, reason)
        return self._check_words(issue, stream, cycle, vector) if vector.flips else vector

    def sample_group(self, issue: Issue, first: Stream, count: int, cycle: int) -> list[Vector]:
        """`count` streams from `first` on."""
        return [
            self.sample(issue, Stream(first.direction, first.index + place) if place else first, cycle)
            for place in range(count)
        ]

    def sample_elements(self, issue: Issue, first: Stream, dtype: DataType, cycle: int) -> Elements:
        """The elements [lanes] on an aligned group."""
        return join(self.sample_group(issue, first, dtype.streams, cycle), dtype)

    def drive(self, issue: Issue, stream: Stream, cycle: int, vector: Vector) -> None:
        """Put a vector onto the register of the issuing slice. STREAM_CONFLICT."""
        if issue.superlanes != self.spec.tiles:
            vector = power_down(vector, issue.superlanes, self.spec.lanes_per_tile)
        other = self.streams.drive(stream, issue.queue.position, cycle, vector, issue)
        if other is not None:
            detail = f"{stream} is also driven here by {other}"
            raise self.refuse(HazardKind.STREAM_CONFLICT, issue, cycle, detail)
        if cycle > self.last_cycle:
            self.last_cycle = cycle

    def drive_group(self, issue: Issue, first: Stream, cycle: int, vectors: Sequence[Vector]) -> None:
        """Vectors onto consecutive streams from `first` on."""
        for place, vector in enumerate(vectors):
            self.drive(issue, Stream(first.direction, first.index + place) if place else first, cycle, vector)

    def drive_elements(self, issue: Issue, first: Stream, cycle: int, elements: Elements) -> None:
        """Elements [lanes] onto the aligned group of their type."""
        self.drive_group(issue, first, cycle, split(elements))

    def powered(self, issue: Issue, elements: Elements) -> Elements:
        """Elements with zeros in the tiles that Config has powered down."""
        if issue.superlanes == self.spec.tiles:
            return elements
        kept = elements.copy()
        kept[issue.superlanes * self.spec.lanes_per_tile :] = 0
        return kept

    def _check_words(self, issue: Issue, stream: Stream, cycle: int, vector: Vector) -> Vector:
        lanes = self.spec.lanes_per_tile
        data = vector.data.copy()
        for tile, flipped in vector.flips.items():
            word = data[tile * lanes : (tile + 1) * lanes]
            decoded = ecc.decode(*flip_bits(word, flipped))
            if decoded.uncorrectable:
                detail = f"tile {tile} of {stream} has more wrong bits than one"
                raise self.refuse(HazardKind.ECC, issue, cycle, detail)
            self.corrected_bits += int(decoded.corrected)
            data[tile * lanes : (tile + 1) * lanes] = decoded.words
        return Vector(data)


def flip_bits(word: Bytes, bits: frozenset[int]) -> tuple[Bytes, NDArray[np.uint16]]:
    """A word (uint8 [16]) and its check bits (uint16), some of the 137 inverted; 128 to 136 are the check bits."""
    check_bits = ecc.encode_check_bits(word)
    flipped = word.copy()
    for bit in bits:
        if bit < WORD_BITS:
            flipped[bit // 8] ^= np.uint8(1 << bit % 8)
        else:
            check_bits = check_bits ^ np.uint16(1 << (bit - WORD_BITS))
    return flipped, check_bits
