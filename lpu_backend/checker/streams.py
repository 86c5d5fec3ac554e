"""Streams: no register driven twice in a cycle, and a vector wherever one is sampled.

A vector moves one register a cycle, so `cycle` - `travel` is the same on all its way: its diagonal. A sample gets what
the nearest drive upstream on its diagonal drove, a drive on its own register included; drives nearer to it overwrite.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lpu_backend.checker.accesses import StreamEvents, name_stream
from lpu_backend.checker.issues import IntArray, IssueTable
from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.hazards import Hazard, HazardKind


class StreamFlow(NamedTuple):
    """All drives and samples, and `feeds`: for each sample the row of the drive that feeds it, -1 for none."""

    drives: StreamEvents
    samples: StreamEvents
    feeds: IntArray
    conflicts: IntArray
    """[n, 2] rows of drives: two on one register in one cycle."""


def trace_flow(samples: StreamEvents, drives: StreamEvents, chip: ChipSpec) -> StreamFlow:
    """Finds what feeds every sample by sorting drives and samples along the streams."""
    width = plan_floor(chip).width
    events = [np.concatenate(columns) for columns in zip(drives, samples, strict=True)]
    _, _, cycle, stream, travel = events
    is_sample = np.arange(len(cycle)) >= len(drives.cycle)
    diagonal = cycle - travel + width
    line = stream * (diagonal.max(initial=0) + 1) + diagonal
    order = np.argsort((line * width + travel) * 2 + is_sample, kind="stable")

    sorted_line, sorted_is_sample = line[order], is_sample[order]
    latest = np.maximum.accumulate(np.where(sorted_is_sample, -1, np.arange(len(order))))
    fed = (latest >= 0) & (sorted_line[latest] == sorted_line)
    feeds = np.full(len(order), -1)
    feeds[order] = np.where(fed, order[latest], -1)

    same = (sorted_line[1:] == sorted_line[:-1]) & (travel[order][1:] == travel[order][:-1])
    both_drive = ~sorted_is_sample[1:] & ~sorted_is_sample[:-1]
    (second,) = np.nonzero(same & both_drive)
    conflicts = np.stack([order[second], order[second + 1]], axis=1)
    return StreamFlow(drives, samples, feeds[len(drives.cycle) :], conflicts)


def list_stream_hazards(table: IssueTable, flow: StreamFlow, chip: ChipSpec) -> Iterator[Hazard]:
    """STREAM_CONFLICT for each second drive of a register, OPERAND_MISSING for each sample of an empty one."""
    for first, second in flow.conflicts.tolist():
        stream = name_stream(int(flow.drives.stream[second]), chip)
        detail = f"{stream} is driven here by {table.describe(flow.drives, first)} too"
        yield table.refuse(flow.drives, second, HazardKind.STREAM_CONFLICT, detail)
    (missing,) = np.nonzero(flow.feeds < 0)
    if len(missing):
        passing = _PassingVectors(table, flow.drives)
        for row in missing.tolist():
            stream = name_stream(int(flow.samples.stream[row]), chip)
            detail = f"no vector on {stream}; {passing.describe_nearest(flow.samples, row)}"
            yield table.refuse(flow.samples, row, HazardKind.OPERAND_MISSING, detail)


class _PassingVectors:
    """Which vector passes a register at nearly the right time: the drives of each stream by place and diagonal."""

    def __init__(self, table: IssueTable, drives: StreamEvents) -> None:
        self._table = table
        self._drives = drives
        diagonal = drives.cycle - drives.travel
        order = np.lexsort((diagonal, drives.travel, drives.stream))
        key = np.stack([drives.stream[order], drives.travel[order]], axis=1)
        starts = np.flatnonzero(np.any(key[1:] != key[:-1], axis=1)) + 1 if len(key) else np.zeros(0, dtype=np.int64)
        self._places: dict[int, list[tuple[int, IntArray, IntArray]]] = {}
        for rows in np.split(order, starts):
            if len(rows):
                stream, travel = int(drives.stream[rows[0]]), int(drives.travel[rows[0]])
                self._places.setdefault(stream, []).append((travel, diagonal[rows], rows))

    def describe_nearest(self, samples: StreamEvents, row: int) -> str:
        """By how many cycles the nearest vector misses this sample, and what drove it."""
        stream, travel = int(samples.stream[row]), int(samples.travel[row])
        diagonal = int(samples.cycle[row]) - travel
        candidates = [
            (abs(early), -place, early, drive)
            for place, diagonals, rows in self._places.get(stream, [])
            if place <= travel
            for early, drive in _nearest(diagonals, rows, diagonal)
        ]
        if not candidates:
            return "none ever passes this register"
        _, _, early, drive = min(candidates)
        producer = self._table.describe(self._drives, drive)
        when = f"{abs(early)} cycle{'s' if abs(early) != 1 else ''} too {'early' if early > 0 else 'late'}"
        return f"the nearest passes this register {when}, from {producer}"


def _nearest(diagonals: IntArray, rows: IntArray, diagonal: int) -> Iterator[tuple[int, int]]:
    """(cycles too early, drive) of the last vector before a diagonal and the first after it."""
    place = int(np.searchsorted(diagonals, diagonal))
    for neighbour in range(max(place - 1, 0), min(place + 1, len(rows))):
        yield diagonal - int(diagonals[neighbour]), int(rows[neighbour])
