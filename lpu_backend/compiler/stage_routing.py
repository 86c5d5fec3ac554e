"""The route pass: the hidden rows from each stage's chips to the next stage's. All-gathers are routed by the schedule,
which has to know when they end."""

from itertools import pairwise

from lpu_backend.compiler.chip_groups import count_rack_chips
from lpu_backend.compiler.compilation import Compilation, HandOvers
from lpu_backend.compiler.handoff import route_handoff
from lpu_backend.compiler.layouts import lay_out_dense
from lpu_backend.compiler.lowering import HIDDEN, HIDDEN_SHARD
from lpu_backend.compiler.partition import Stage
from lpu_backend.compiler.template import Placement
from lpu_backend.isa.operands import DataType


def route_stages(done: Compilation) -> HandOvers:
    """Cycles of all hand-overs. CompileError.

    Groups that lie alike in one rack hand over alike; of those in two racks the first pair counts for all that lie
    alike in theirs, as it is a matter of one or two hops which racks they are.
    """
    pairs = list(pairwise(done.partition.stages))
    if not pairs:
        return HandOvers()
    known: dict[tuple[object, ...], int] = {}
    decode = []
    for source, target in pairs:
        key = _describe_pair(done, source, target)
        if key not in known:
            known[key] = _route(done, source, target, "decode")
        decode.append(known[key])
    slowest = pairs[decode.index(max(decode))]
    prefill = _route(done, *slowest, "prefill")
    return HandOvers(tuple(decode), (prefill,) * len(pairs))


def _describe_pair(done: Compilation, source: Stage, target: Stage) -> tuple[object, ...]:
    """How two groups lie in their racks, and whether it is one rack."""
    rack_chips = count_rack_chips(done.request.chip)
    (one, here), (other, there) = (divmod(stage.group.first_chip, rack_chips) for stage in (source, target))
    return source.group.chips, target.group.chips, here, there, one == other, bool(target.layers)


def _route(done: Compilation, source: Stage, target: Stage, kind: str) -> int:
    chip, hidden = done.request.chip, done.request.graph.hidden
    tokens = 1 if kind == "decode" else done.request.prefill_tokens
    rows = lay_out_dense(hidden, source.group.chips, chip.lanes).rows * tokens
    here, there = (_placement(done, stage, kind).values for stage in (source, target))
    destination = there.get(HIDDEN, there[HIDDEN_SHARD])
    shapes = done.shape_of(source), done.shape_of(target)
    return route_handoff(*shapes, rows, DataType.FP32.streams, here[HIDDEN_SHARD], destination, chip)


def _placement(done: Compilation, stage: Stage, kind: str) -> Placement:
    """That of any part of a stage: hidden rows lie in the same place in all of them."""
    part = done.parts[0] if stage.layers else done.parts[-1]
    placed = done.placements[part.name]
    return placed.decode if kind == "decode" else placed.prefill
