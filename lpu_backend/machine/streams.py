"""The stream registers, without moving anything: a vector in flight is known by the line that it travels on.

A vector on an east stream that is at position p at cycle t is at p + 1 at t + 1, so t - p never changes; on a west
stream it is t + p. All that was ever driven onto one such line stands in one short list; what a slice sees is the
nearest of them upstream, since driving overwrites. Idle cycles cost nothing.
"""

from typing import NamedTuple

from lpu_backend.isa.operands import Stream
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.vectors import Vector


class Drive(NamedTuple):
    """One vector that was driven: where along its direction, and by what."""

    place: int
    vector: Vector
    producer: Issue


class StreamRegisters:
    """All streams of one chip: `width` positions from edge to edge, driven at most `ahead_cycles` ahead of time."""

    def __init__(self, width: int, ahead_cycles: int) -> None:
        self._width = width
        # A vector may still be asked for until it leaves the edge; one width more lets a refusal name what has passed.
        self._kept_cycles = 2 * width + ahead_cycles
        self._kept_lines = 2 * (self._kept_cycles + width)
        self._lines: dict[Stream, dict[int, list[Drive]]] = {}

    def drive(self, stream: Stream, position: int, cycle: int, vector: Vector, producer: Issue) -> Issue | None:
        """Put a vector on its line. Returns the other producer if the register is driven in that cycle already."""
        lines = self._lines.get(stream)
        if lines is None:
            lines = self._lines[stream] = {}
        place = position if stream.direction == "E" else self._width - 1 - position
        line = lines.get(cycle - place)
        if line is None:
            if len(lines) >= self._kept_lines:
                self._forget(lines, cycle)
            lines[cycle - place] = [Drive(place, vector, producer)]
            return None
        for other in line:
            if other.place == place:
                return other.producer
        line.append(Drive(place, vector, producer))
        return None

    def sample(self, stream: Stream, position: int, cycle: int) -> Vector | None:
        """What the register holds in this cycle, or None."""
        lines = self._lines.get(stream)
        if lines is None:
            return None
        place = position if stream.direction == "E" else self._width - 1 - position
        line = lines.get(cycle - place)
        if line is None:
            return None
        if len(line) == 1:
            return line[0].vector if line[0].place <= place else None
        upstream = [drive for drive in line if drive.place <= place]
        return max(upstream, key=_place_of).vector if upstream else None

    def explain_absence(self, stream: Stream, position: int, cycle: int) -> str:
        """Why `sample` finds nothing: the vector that passes here nearest in time, as far as is known by now."""
        place = position if stream.direction == "E" else self._width - 1 - position
        passing = [
            (line - (cycle - place), drive.producer)
            for line, drives in self._lines.get(stream, {}).items()
            for drive in drives
            if drive.place <= place
        ]
        if not passing:
            return f"nothing is on {stream}"
        late_cycles, producer = min(passing, key=lambda found: abs(found[0]))
        if late_cycles > 0:
            return f"{stream} has not arrived: {producer} passes {late_cycles} cycles later"
        return f"{stream} has passed: {producer} was here {-late_cycles} cycles earlier"

    def _forget(self, lines: dict[int, list[Drive]], cycle: int) -> None:
        oldest = cycle - self._kept_cycles
        for line in [line for line in lines if line < oldest]:
            del lines[line]


def _place_of(drive: Drive) -> int:
    return drive.place
