"""SXM: moving lanes."""

from collections.abc import Sequence

import numpy as np

from lpu_backend.arithmetic import lanes
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Distribute, Permute, Rotate, Select, Shift, Transpose
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.machine.chip import ChipState
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.vectors import Bytes, Vector

TRANSPOSED_STREAMS = 16


def shift(chip: ChipState, issue: Issue, instruction: Shift, cycle: int) -> None:
    """Lanes north or south."""
    vector = chip.sample(issue, instruction.source, cycle)
    _finish(chip, issue, instruction.destination, [lanes.shift(vector.data, instruction.lanes)])


def select(chip: ChipState, issue: Issue, instruction: Select, cycle: int) -> None:
    """One vector's southern lanes with another's northern ones."""
    south = chip.sample(issue, instruction.south, cycle)
    north = chip.sample(issue, instruction.north, cycle)
    _finish(chip, issue, instruction.destination, [lanes.select(south.data, north.data, instruction.boundary)])


def permute(chip: ChipState, issue: Issue, instruction: Permute, cycle: int) -> None:
    """Any bijection of the lanes."""
    vector = chip.sample(issue, instruction.source, cycle)
    lane_map = chip.sample_elements(issue, instruction.map_stream, DataType.UINT16, cycle).view(np.uint16)
    if not lanes.is_bijection(lane_map):
        detail = f"{instruction.map_stream} does not name each of the {chip.spec.lanes} lanes once"
        raise chip.refuse(HazardKind.PERMUTATION, issue, cycle, detail)
    _finish(chip, issue, instruction.destination, [lanes.permute(vector.data, lane_map)])


def distribute(chip: ChipState, issue: Issue, instruction: Distribute, cycle: int) -> None:
    """Lanes within each tile."""
    vector = chip.sample(issue, instruction.source, cycle)
    _finish(
        chip,
        issue,
        instruction.destination,
        [lanes.distribute(vector.data, instruction.lane_map, chip.spec.lanes_per_tile)],
    )


def rotate(chip: ChipState, issue: Issue, instruction: Rotate, cycle: int) -> None:
    """All rotations of each tile's block."""
    vector = chip.sample(issue, instruction.source, cycle)
    _finish(chip, issue, instruction.destination, lanes.rotate(vector.data, instruction.size, chip.spec.lanes_per_tile))


def transpose(chip: ChipState, issue: Issue, instruction: Transpose, cycle: int) -> None:
    """16 lanes x 16 streams in each tile."""
    vectors = chip.sample_group(issue, instruction.source, TRANSPOSED_STREAMS, cycle)
    rows = np.stack([vector.data for vector in vectors])
    _finish(chip, issue, instruction.destination, list(lanes.transpose(rows, chip.spec.lanes_per_tile)))


def _finish(chip: ChipState, issue: Issue, destination: Stream, results: Sequence[Bytes]) -> None:
    cycle = issue.cycle + chip.spec.timing(issue.instruction.mnemonic).func
    chip.drive_group(issue, destination, cycle, [Vector(np.ascontiguousarray(result)) for result in results])
