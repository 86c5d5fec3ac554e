"""Cycles of a vector program, roughly: enough to choose between ways to divide a model, before anything is scheduled.

No figure that is shown comes from here. Operations have bounds of their own, which are added up: weights
at 16 rows a cycle and plane, a row a cycle through the VXM, a vector every `c2c_vector_interval_cycles` on a link, and
what a vector takes from memory through the unit and back.
"""

import math

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.compiler.chip_groups import find_least_node_part
from lpu_backend.compiler.memory import SLICES_A_PLANE
from lpu_backend.compiler.vector_program import AllGather, Map, MatMul, Operation, Tiles, VectorProgram

_STEP_CYCLES = 4
_NOT_OVERLAPPED = 2 / 3
"""Of operations other than all-gathers, about a third of the time is hidden behind others (0.55 to 0.70 were seen)."""


def estimate_cycles(program: VectorProgram, chip: ChipSpec) -> int:
    """Cycles of one step of a part on its group."""
    tiles = {each.name: each for each in program.tiles}
    gathers = [operation for operation in program.operations if isinstance(operation, AllGather)]
    network = sum(estimate_gather(each.rows * each.blocks, program.chips, chip) for each in gathers)
    return network + int(_NOT_OVERLAPPED * sum(_estimate(each, tiles, chip) for each in program.operations))


def _estimate(operation: Operation, tiles: dict[str, Tiles], chip: ChipSpec) -> int:
    way = plan_floor(chip).width
    if isinstance(operation, MatMul):
        used = tiles[operation.tiles]
        rows = operation.outputs or used.outputs
        columns = 1 if operation.shared else len(operation.vectors[0])
        tile_cycles = max(used.rows // SLICES_A_PLANE, len(operation.vectors))
        return -(-rows // chip.mxm_planes) * columns * tile_cycles + way
    if isinstance(operation, AllGather):
        return 0
    if isinstance(operation, Map):
        return operation.rows + way + _STEP_CYCLES * len(operation.steps)
    return way


def estimate_gather(rows: int, chips: int, chip: ChipSpec) -> int:
    """Every chip's fp32 rows to all others: the vectors of the busiest cable, and its hops."""
    if chips == 1:
        return rows
    nodes = math.ceil(chips / chip.chips_per_node)
    hop_cycles = chip.c2c_max_latency_cycles + chip.timing("Receive").func
    vectors = 4 * rows
    if nodes == 1:
        return vectors * chip.c2c_vector_interval_cycles + hop_cycles
    # Two cables join each pair of nodes of a rack; all that a node's chips have goes over them to each other node. Of a
    # node of which the group has a part, about that part of the cables ends in the group.
    part = find_least_node_part(chips, chip)
    shared = vectors * chip.chips_per_node * chip.chips_per_node // (2 * part)
    return shared * chip.c2c_vector_interval_cycles + 3 * hop_cycles
