"""Small programs for the tests of the checker."""

from collections.abc import Mapping, Sequence

from lpu_backend.checker import list_hazards
from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Instruction, Nop, Repeat
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.isa.program import Link, Program, Region, Text

SMALL = ChipSpec(name="small", tiles=2, mem_slices=8)
"""West to east: MXM_W1 MXM_W0 SXM_W MEM_W3 ... MEM_W0 VXM MEM_E0 ... MEM_E3 SXM_E MXM_E0 MXM_E1."""

Found = list[tuple[HazardKind, int, str]]
Instructions = Sequence[Instruction]
Queues = Mapping[str, Instructions]


def east(index: int) -> Stream:
    return Stream("E", index)


def west(index: int) -> Stream:
    return Stream("W", index)


def at(instructions: Mapping[int, Instruction | Instructions]) -> tuple[Instruction, ...]:
    """A queue that begins each entry in its cycle, NOPs in between."""
    queue: list[Instruction] = []
    cycle = 0
    for start, entry in instructions.items():
        if start > cycle:
            queue.append(Nop(start - cycle))
            cycle = start
        for instruction in entry if isinstance(entry, Sequence) else (entry,):
            queue.append(instruction)
            cycle += _duration_cycles(instruction)
    return tuple(queue)


def _duration_cycles(instruction: Instruction) -> int:
    if isinstance(instruction, Repeat):
        return instruction.count * instruction.distance
    return instruction.cycles if isinstance(instruction, Nop) else 1


def region(slice_name: str, address: int = 0, rows: int = 1, kind: str = "input", **fields: object) -> Region:
    """Vectors of int8 at `address` and after it."""
    name = f"{slice_name}-{address}"
    return Region(name, kind, DataType.INT8, rows, SMALL.lanes, (slice_name,), address, **fields)


def program(
    *queues: Queues,
    regions: Sequence[Region] = (),
    texts: Sequence[Text] = (),
    links: Sequence[Link] = (),
) -> Program:
    """A program for one chip for each map of queues."""
    chips = tuple({name: tuple(queue) for name, queue in of_chip.items()} for of_chip in queues)
    return Program("test", chips, tuple(regions), tuple(texts), tuple(links))


def find(checked: Program, chip: ChipSpec = SMALL) -> Found:
    """(kind, cycle, queue) of every hazard."""
    return [(hazard.kind, hazard.cycle, hazard.queue) for hazard in list_hazards(checked, chip)]
