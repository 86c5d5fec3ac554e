"""From text to program."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from lpu_backend.assembly.errors import TextError, at_line
from lpu_backend.assembly.forms import parse_instruction
from lpu_backend.assembly.macros import Line, expand_lines
from lpu_backend.assembly.numbers import parse_integer
from lpu_backend.assembly.regions import RegionKind, TextHeader, parse_name, parse_region, parse_text_header
from lpu_backend.assembly.schedule import QueueSchedule
from lpu_backend.chip import GROQCHIP1, ChipSpec, Queue, plan_floor
from lpu_backend.isa.instructions import Instruction, Repeat
from lpu_backend.isa.placement import Placement
from lpu_backend.isa.program import Link, Program, Region, Text
from lpu_backend.isa.validity import find_address_fault, find_fault, find_repeat_fault, is_of_unit

DEFAULT_NAME = "program"

_PLACED = re.compile(r"@\s*(\S+)\s+(.+)")
_LINK = re.compile(r"([0-9]{1,5})\.([0-9]{1,5})\s+([0-9]{1,5})\.([0-9]{1,5})")


class _OpenText(NamedTuple):
    """A `.text` whose instructions are still coming."""

    line_number: int
    header: TextHeader
    chip: int
    schedule: QueueSchedule


class Assembler:
    """Takes plain lines one by one; `finish` gives the program."""

    def __init__(self, chip: ChipSpec) -> None:
        self._chip = chip
        self._floor = plan_floor(chip)
        self._name: str | None = None
        self._chip_number = 0
        self._queues: list[dict[str, QueueSchedule]] = [{}]
        self._regions: list[Region] = []
        self._texts: list[Text] = []
        self._links: list[Link] = []
        self._joined: set[tuple[int, int]] = set()
        self._placement = Placement(chip)
        self._target: QueueSchedule | None = None
        self._queue: Queue | None = None
        self._takers: dict[type, list[Queue]] = {}
        self._open_text: _OpenText | None = None
        self._directives: Mapping[str, Callable[[str, Line], None]] = {
            ".program": self._read_program,
            ".chip": self._read_chip,
            ".input": partial(self._read_region, "input"),
            ".output": partial(self._read_region, "output"),
            ".constant": partial(self._read_region, "constant"),
            ".link": self._read_link,
            ".text": self._read_text,
            "queue": self._read_queue,
        }

    def read(self, line: Line) -> None:
        """Take one line. TextError says what was expected on it."""
        word, *rest = line.text.split(maxsplit=1)
        if directive := self._directives.get(word):
            self._close()
            directive(rest[0] if rest else "", line)
        elif word.startswith("."):
            raise TextError(f"expected {', '.join(self._directives)}, .let, .for or .end, not `{word}`")
        else:
            self._read_instruction(line)

    def finish(self) -> Program:
        """The program that the lines so far make."""
        self._close()
        return Program(
            name=self._name or DEFAULT_NAME,
            queues=tuple(
                {name: tuple(schedule.instructions) for name, schedule in queues.items()} for queues in self._queues
            ),
            regions=tuple(self._regions),
            texts=tuple(self._texts),
            links=tuple(self._links),
        )

    def _close(self) -> None:
        """End the queue or text that instructions went to."""
        self._target = None
        if opened := self._open_text:
            self._open_text = None
            text = Text(*opened.header, tuple(opened.schedule.instructions), opened.chip)
            with at_line(opened.line_number):
                _refuse(self._placement.add_text(text))
            self._texts.append(text)

    def _read_program(self, rest: str, line: Line) -> None:
        if self._name is not None:
            raise TextError("expected one .program only")
        self._name = parse_name(rest)

    def _read_chip(self, rest: str, line: Line) -> None:
        self._chip_number = parse_integer(rest)
        self._reach_chip(self._chip_number)

    def _reach_chip(self, number: int) -> None:
        chips = self._chip.max_racks * self._chip.nodes_per_rack * self._chip.chips_per_node
        if not 0 <= number < chips:
            raise TextError(f"expected chip 0 to {chips - 1}, not {number}")
        while len(self._queues) <= number:
            self._queues.append({})

    def _read_region(self, kind: RegionKind, rest: str, line: Line) -> None:
        region = parse_region(kind, rest, line.names, self._chip_number)
        _refuse(self._placement.add_region(region))
        self._regions.append(region)

    def _read_link(self, rest: str, line: Line) -> None:
        if not (match := _LINK.fullmatch(rest)):
            raise TextError("expected `.link CHIP.LINK CHIP.LINK`")
        link = Link(*(int(number) for number in match.groups()))
        for number, place in ((link.chip_a, link.link_a), (link.chip_b, link.link_b)):
            if place >= self._chip.c2c_links:
                raise TextError(f"expected link 0 to {self._chip.c2c_links - 1}, not {place}")
            if (number, place) in self._joined:
                raise TextError(f"link {number}.{place} is joined already")
            self._joined.add((number, place))
            self._reach_chip(number)
        self._links.append(link)

    def _read_text(self, rest: str, line: Line) -> None:
        self._target = QueueSchedule()
        self._queue = None
        self._open_text = _OpenText(line.number, parse_text_header(rest), self._chip_number, self._target)

    def _read_queue(self, rest: str, line: Line) -> None:
        if (queue := self._floor.queues.get(rest)) is None:
            raise TextError(f"expected a queue such as MEM_W0, VXM15 or MXM_E0_ACC, not `{rest}`")
        self._target = self._queues[self._chip_number].setdefault(rest, QueueSchedule())
        self._queue = queue

    def _read_instruction(self, line: Line) -> None:
        cycle, text = None, line.text
        if text.startswith("@"):
            if not (match := _PLACED.fullmatch(text)):
                raise TextError("expected `@CYCLE INSTRUCTION`")
            cycle, text = _parse_cycle(match[1], line.names), match[2]
        if self._target is None:
            raise TextError(f"expected a directive, or a queue or .text before the instruction, not `{text}`")
        instruction = parse_instruction(text)
        if isinstance(instruction, Repeat):
            if cycle is not None:
                raise TextError("Repeat takes no cycle of its own, so it has no @")
            _refuse(find_repeat_fault(self._target.instructions[-1] if self._target.instructions else None))
        _refuse(self._find_fault(instruction))
        if cycle is not None:
            self._target.wait_until(cycle)
        self._target.append(instruction)

    def _find_fault(self, instruction: Instruction) -> str | None:
        """Why this queue does not take this instruction or, in a `.text`, why none does."""
        queue = self._queue
        fault = find_fault(instruction, queue, self._chip) if queue else self._find_text_fault(instruction)
        return fault or find_address_fault(instruction, self._chip)

    def _find_text_fault(self, instruction: Instruction) -> str | None:
        fault: str | None = None
        takers = self._list_takers(type(instruction))
        for place, queue in enumerate(takers):
            if (fault := find_fault(instruction, queue, self._chip)) is None:
                takers.insert(0, takers.pop(place))  # the next of its kind is likely for the same queue
                return None
        return fault

    def _list_takers(self, kind: type[Instruction]) -> list[Queue]:
        if kind not in self._takers:
            self._takers[kind] = [queue for queue in self._floor.queues.values() if is_of_unit(kind, queue.unit)]
        return self._takers[kind]


def _parse_cycle(text: str, names: Mapping[str, int]) -> int:
    return names[text] if text in names else parse_integer(text)


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise TextError(fault)


def assemble(text: str, chip: ChipSpec = GROQCHIP1) -> Program:
    """The program that a text (docs/assembly.md) describes, for `chip`.

    AssemblyError names the first line, from 1, that is not of the grammar or that no chip could hold: an instruction
    not of its queue, a region that does not fit. Hazards of time and data are the checker's.
    """
    assembler = Assembler(chip)
    for line in expand_lines(text):
        with at_line(line.number):
            assembler.read(line)
    return assembler.finish()
