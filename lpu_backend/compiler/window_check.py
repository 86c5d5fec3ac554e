"""An independent check of an all-gather's window: names instead of data, moved instruction by instruction.

It shares nothing with the scheduler but the system's cables and the chip's figures (docs/chip.md has the rules).
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple

from lpu_backend.chip import plan_floor
from lpu_backend.compiler.routing import GatherWindow
from lpu_backend.compiler.value_place import ValuePlace
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.isa.instructions import Instruction, Read, Receive, Send, Write
from lpu_backend.isa.operands import Stream

Name = tuple[int, int, int]
"""Place in the group, row of its source, byte."""
_FETCH, _TAKE = range(2)


class WindowError(LpuBackendError):
    """A window that does not do what it says."""


class _Event(NamedTuple):
    """Reads and Receives take their vector in `cycle` before Writes and Sends sample theirs."""

    cycle: int
    phase: int
    chip: int
    queue: str
    instruction: Instruction


def verify_window(window: GatherWindow) -> None:
    """WindowError unless every row ends in its place on every chip within the window's cycles, whatever the links'
    jitter, and no link takes vectors nearer than its interval, also if two such windows follow each other."""
    chips = {chip: window.queues(place) for place, chip in enumerate(window.group.members)} | window.relays
    events = []
    for chip, queues in chips.items():
        for queue, timed in queues.items():
            for cycle, instruction in timed.items():
                if not 0 <= cycle < window.cycles:
                    raise WindowError(f"chip {chip} {queue} dispatches in cycle {cycle} of {window.cycles}")
                events.append(_time_event(window, _Event(cycle, _FETCH, chip, queue, instruction)))
    moves = _Moves(window)
    for event in sorted(events, key=lambda event: event[:4]):
        moves.apply(event)
    moves.refuse_rest()


def _time_event(window: GatherWindow, event: _Event) -> _Event:
    match event.instruction:
        case Send():
            return event._replace(cycle=event.cycle + window.chip.timing("Send").skew, phase=_TAKE)
        case Write():
            return event._replace(phase=_TAKE)
    return event


def _list_places(window: GatherWindow, value: ValuePlace, row: int) -> Iterator[tuple[str, int]]:
    row_bytes = window.shape.row_bytes
    spread = len(value.slices) // row_bytes
    for byte in range(row_bytes):
        yield value.slices[byte * spread + row % spread], value.address + row // spread


class _Moves:
    """Names in memory, on streams and on links."""

    def __init__(self, window: GatherWindow) -> None:
        self._window, self._spec = window, window.chip
        self._topology = window.group.topology(window.chip)
        self._positions = plan_floor(window.chip).positions
        self._memory: dict[tuple[int, str, int], Name] = {}
        # By chip, stream and diagonal: where vectors were driven.
        self._streams: defaultdict[tuple[int, Stream, int], dict[int, Name]] = defaultdict(dict)
        self._links: defaultdict[tuple[int, int], deque[tuple[int, Name]]] = defaultdict(deque)
        self._sent_cycles: dict[tuple[int, int], int] = {}
        self._first_sent_cycles: dict[tuple[int, int], int] = {}
        for place, chip in enumerate(window.group.members):
            for row in range(window.shape.rows * window.shape.blocks):
                for byte, where in enumerate(_list_places(window, window.source, row)):
                    self._memory[chip, *where] = (place, row, byte)

    def apply(self, event: _Event) -> None:
        match event.instruction:
            case Read(address, stream):
                self._drive(event, stream, self._load(event, address), self._spec.timing("Read").func)
            case Receive(stream):
                self._drive(event, stream, self._take_arrival(event), self._spec.timing("Receive").func)
            case Write(address, stream):
                self._memory[event.chip, event.queue, address] = self._sample(event, stream)
            case Send(stream):
                self._send(event, self._sample(event, stream))
            case _:
                raise WindowError(f"{event} is none of a window's instructions")

    def refuse_rest(self) -> None:
        """WindowError for a row that is not in its place, a vector that nobody took, links not yet free."""
        window, rows = self._window, self._window.shape.rows
        for chip in window.group.members:
            for place in range(window.group.chips):
                for row in range(rows * window.shape.blocks):
                    there = row // rows * window.group.chips * rows + place * rows + row % rows
                    for byte, where in enumerate(_list_places(window, window.destination, there)):
                        if self._memory.get((chip, *where)) != (place, row, byte):
                            raise WindowError(f"chip {chip} has not row {row} of the chip at place {place} in {where}")
        if any(self._links.values()):
            raise WindowError("vectors are left on links")
        for link, cycle in self._sent_cycles.items():
            self._refuse_near(link, cycle, self._first_sent_cycles[link] + window.cycles)

    def _load(self, event: _Event, address: int) -> Name:
        name = self._memory.get((event.chip, event.queue, address))
        if name is None:
            raise WindowError(f"{event}: nothing has been written there")
        return name

    def _take_arrival(self, event: _Event) -> Name:
        arrived = self._links[event.chip, _link_of(event)]
        if not arrived or arrived[0][0] > event.cycle:
            raise WindowError(f"{event}: no vector is there for certain")
        return arrived.popleft()[1]

    def _send(self, event: _Event, name: Name) -> None:
        here = (event.chip, _link_of(event))
        end = self._topology.far_end(*here)
        if end is None:
            raise WindowError(f"{event}: the link leads nowhere")
        if here in self._sent_cycles:
            self._refuse_near(here, self._sent_cycles[here], event.cycle)
        self._sent_cycles[here] = event.cycle
        self._first_sent_cycles.setdefault(here, event.cycle)
        arrived = self._links[end]
        arrived.append((event.cycle + self._spec.c2c_max_latency_cycles, name))
        if len(arrived) > self._spec.c2c_receive_vectors:
            raise WindowError(f"{event}: more vectors wait at the far end than it holds")

    def _refuse_near(self, link: tuple[int, int], before: int, after: int) -> None:
        if after - before < self._spec.c2c_vector_interval_cycles:
            raise WindowError(f"chip {link[0]} link {link[1]} takes vectors in cycles {before} and {after}")

    def _drive(self, event: _Event, stream: Stream, name: Name, delay_cycles: int) -> None:
        position = self._position(event)
        driven = self._streams[event.chip, stream, _diagonal(stream, event.cycle + delay_cycles, position)]
        if position in driven:
            raise WindowError(f"{event}: {stream} is driven twice there")
        driven[position] = name

    def _sample(self, event: _Event, stream: Stream) -> Name:
        """What the nearest slice upstream drove onto this diagonal."""
        position = self._position(event)
        driven = self._streams.get((event.chip, stream, _diagonal(stream, event.cycle, position)), {})
        upstream = [there for there in driven if (there <= position if stream.direction == "E" else there >= position)]
        if not upstream:
            raise WindowError(f"{event}: nothing is on {stream}")
        return driven[max(upstream) if stream.direction == "E" else min(upstream)]

    def _position(self, event: _Event) -> int:
        if event.queue.startswith("C2C"):
            return self._positions["SXM_W" if _link_of(event) < self._spec.c2c_links // 2 else "SXM_E"]
        return self._positions[event.queue]


def _link_of(event: _Event) -> int:
    return int(event.queue.removeprefix("C2C"))


def _diagonal(stream: Stream, cycle: int, position: int) -> int:
    return cycle - position if stream.direction == "E" else cycle + position
