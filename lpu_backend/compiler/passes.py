"""The passes in their order, each with the check of what it gave and the lines that show it.

lower       each kind of layers becomes a vector program, as one chip would run it (lowering.py)
quantise    how every matrix is stored, and what is folded into it (quantising.py)
partition   chips, groups and stages; the parts are lowered again for the size of their groups (partition.py)
place       where in SRAM every value and tile lies, by lifetime (placing.py)
schedule    a queue and a cycle for every instruction; all-gathers as windows of the network (scheduling.py)
route       a link and a cycle for every vector from stage to stage (handoff.py)
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from lpu_backend.compiler import pass_checks, pass_listings
from lpu_backend.compiler.compilation import Compilation
from lpu_backend.compiler.costing import LoweredCosts
from lpu_backend.compiler.parting import lower_parts
from lpu_backend.compiler.partition import find_minimum_chips, partition_model
from lpu_backend.compiler.quantising import quantise_matrices
from lpu_backend.compiler.stage_placing import place_stages
from lpu_backend.compiler.stage_routing import route_stages
from lpu_backend.compiler.stage_scheduling import schedule_stages


class Pass(NamedTuple):
    """`run` adds to a compilation, `verify` raises VerificationError, `show` gives lines."""

    name: str
    run: Callable[[Compilation], Compilation]
    verify: Callable[[Compilation], None]
    show: Callable[[Compilation], Iterable[str]]


Show = Callable[[str, Iterable[str]], None]


def run_passes(compilation: Compilation, show: Show | None = None) -> Compilation:
    """One after the other, each verified; `show` gets every pass's name and lines. CompileError."""
    for each in PASSES:
        compilation = each.run(compilation)
        each.verify(compilation)
        if show is not None:
            show(each.name, each.show(compilation))
    return compilation


def _lower(done: Compilation) -> Compilation:
    return replace(done, parts=lower_parts(done.request, layer_chips=1, head_chips=1))


def _quantise(done: Compilation) -> Compilation:
    return replace(done, matrices={part.name: quantise_matrices(part.nodes) for part in done.parts})


def _partition(done: Compilation) -> Compilation:
    request = done.request
    costs = LoweredCosts(
        request.graph, context_tokens=request.context_tokens, position=request.position, chip=request.chip
    )
    minimum = find_minimum_chips(costs, request.chip)
    division = partition_model(costs, request.chips or minimum, request.chip)
    head_chips = division.stages[-1].group.chips
    parts = lower_parts(request, layer_chips=division.tensor_parallel, head_chips=head_chips)
    return replace(done, division=division, minimum_chips=minimum, parts=parts)


def _place(done: Compilation) -> Compilation:
    return replace(done, placements=place_stages(done))


def _schedule(done: Compilation) -> Compilation:
    return replace(done, scheduled=tuple(schedule_stages(done)))


def _route(done: Compilation) -> Compilation:
    return replace(done, hand_overs=route_stages(done))


PASSES = (
    Pass("lower", _lower, pass_checks.verify_parts, pass_listings.list_parts),
    Pass("quantise", _quantise, pass_checks.verify_matrices, pass_listings.list_matrix_forms),
    Pass("partition", _partition, pass_checks.verify_partition, pass_listings.list_stages),
    Pass("place", _place, pass_checks.verify_places, pass_listings.list_places),
    Pass("schedule", _schedule, pass_checks.verify_schedule, pass_listings.list_templates),
    Pass("route", _route, pass_checks.verify_routes, pass_listings.list_hand_overs),
)
PASS_NAMES = tuple(each.name for each in PASSES)
