"""What must hold after each pass. VerificationError is a defect of the compiler, never of the model."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.chip_check import check_chip
from lpu_backend.compiler.compilation import Compilation
from lpu_backend.compiler.emission import Placed, list_runs
from lpu_backend.compiler.occupation import count_unit_cycles
from lpu_backend.compiler.placement_check import verify_placement
from lpu_backend.compiler.routing import GatherWindow
from lpu_backend.compiler.template import Run, Template
from lpu_backend.compiler.verifying import VerificationError, verify_program
from lpu_backend.compiler.window_check import verify_window
from lpu_backend.graph.tensors import list_matrices
from lpu_backend.isa.instructions import Read, Write


def verify_parts(done: Compilation) -> None:
    """Every layer is in one part, and no program contradicts itself."""
    layers = sorted(layer for part in done.parts for layer in part.layers)
    if layers != list(range(len(done.request.graph.layers))):
        raise VerificationError("a layer is in no part, or in two")
    for part in done.parts:
        verify_program(part.decode.program, done.request.chip)
        verify_program(part.prefill.program, done.request.chip)


def verify_matrices(done: Compilation) -> None:
    """Every matrix of the graph has a form, of its own shape."""
    for part in done.parts:
        nodes = (matrix for node in part.nodes for matrix in list_matrices(node))
        expected = [(matrix.weight, matrix.outputs, matrix.inputs) for matrix in nodes]
        if sorted(form[:3] for form in done.matrices[part.name]) != sorted(expected):
            raise VerificationError(f"{part.name}: a matrix has no form, or another shape")


def verify_partition(done: Compilation) -> None:
    """Every layer is in one stage, in order; no two stages share a chip; every chip holds what it must."""
    partition, chip = done.partition, done.request.chip
    layers = [layer for stage in partition.stages for layer in stage.layer_range]
    if layers != list(range(len(done.request.graph.layers))):
        raise VerificationError("the stages do not hold every layer once, in order")
    taken = [place for stage in partition.stages for place in range(stage.group.first_chip, stage.group.after)]
    if len(set(taken)) != len(taken) or max(taken) >= partition.chips:
        raise VerificationError("two stages share a chip, or one is not there")
    for stage in partition.stages:
        if max(stage.memory.plane_addresses) > chip.mem_addresses or stage.memory.free_bytes < 0:
            raise VerificationError(f"the chips from {stage.group.first_chip} on do not hold their stage")
    verify_parts(done)


def verify_places(done: Compilation) -> None:
    """What lasts has addresses of its own, within the slices, for every layer."""
    for part in done.parts:
        placed = done.placements[part.name]
        most = done.count_stage_layers(part)
        for lowered, placement in ((part.decode, placed.decode), (part.prefill, placed.prefill)):
            verify_placement(lowered.program, placement, most, done.request.chip)


def verify_schedule(done: Compilation) -> None:
    """Every template's cycles are counted once, every queue dispatches once a cycle at most; and all that one chip
    dispatches, picked at random, written out with its links and addresses."""
    layers = sorted(layer for each in done.scheduled for layer in each.layers)
    if layers != list(range(len(done.request.graph.layers))):
        raise VerificationError("a layer has no template, or two")
    for each in done.scheduled:
        for template in (each.decode, each.prefill):
            if sum(count_unit_cycles(template, done.request.chip).values()) != template.cycles:
                raise VerificationError(f"{each.name}: the units' cycles are not all of them")
            _verify_runs(template.runs, template.cycles)
    _verify_random_chip(done)


def _verify_random_chip(done: Compilation) -> None:
    """The same chip and layer each time that a model is compiled. Its windows are replayed by `verify_routes`."""
    chance = random.Random(len(done.request.graph.layers) * done.partition.chips)
    each = chance.choice(done.scheduled)
    member, ordinal = chance.randrange(each.shape.chips), chance.randrange(done.count_stage_layers(each.part))
    for template in (each.decode, each.prefill):
        runs = list(list_runs(Placed(template, 0, ordinal), member, done.request.chip))
        _verify_runs(runs, template.cycles)
        _verify_addresses(runs, done.request.chip)
    hazards = check_chip([Placed(each.decode, 0, ordinal)], done.request.chip)
    if hazards:
        raise VerificationError(f"{each.name}: {hazards[0]}, and {len(hazards) - 1} more hazards")


def _verify_runs(runs: Iterable[Run], cycles: int) -> None:
    by_queue: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_queue[run.queue].append(run)
    for queue, queued in by_queue.items():
        # The 16 Writes of a stored row are places of one, of which a chip dispatches one.
        dispatched = np.concatenate([_list_cycles(run) for run in queued if run.stored is None] or [np.zeros(0, int)])
        if len(np.unique(dispatched)) != len(dispatched):
            raise VerificationError(f"{queue} dispatches twice in a cycle")
        if len(dispatched) and not 0 <= dispatched.min() <= dispatched.max() < cycles:
            raise VerificationError(f"{queue} dispatches outside the {cycles} cycles")


def _list_cycles(run: Run) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return run.cycle + run.distance * np.arange(run.count + 1)


def _verify_addresses(runs: Iterable[Run], chip: ChipSpec) -> None:
    for run in runs:
        if isinstance(run.instruction, Read | Write):
            ends = run.instruction.address, run.instruction.address + run.count * run.instruction.step
            if min(ends) < 0 or max(ends) >= chip.mem_addresses:
                raise VerificationError(f"{run.queue} reaches address {max(ends)}")


def verify_routes(done: Compilation) -> None:
    """Every all-gather of a decode step is replayed; every stage but the last hands its rows on."""
    for window in _list_windows(each.decode for each in done.scheduled):
        verify_window(window)
    pairs, hand_overs = len(done.partition.stages) - 1, done.hand_overs
    if len(hand_overs.decode) != pairs or len(hand_overs.prefill) != pairs:
        raise VerificationError("a stage hands its rows to nobody")
    if any(cycles < done.request.chip.c2c_min_latency_cycles for cycles in (*hand_overs.decode, *hand_overs.prefill)):
        raise VerificationError("a hand-over is faster than a link")


def _list_windows(templates: Iterable[Template]) -> Iterator[GatherWindow]:
    """Each shape of window once."""
    seen = set()
    for template in templates:
        for _, window in template.windows:
            key = window.group, window.shape, window.source.slices, window.destination.slices
            if key not in seen:
                seen.add(key)
                yield window
