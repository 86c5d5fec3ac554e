"""Which of the 4 x 4 ALUs does what: those that pass results on should be neighbours."""

from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.map_plan import MapPlan, Node, Source
from lpu_backend.isa.operands import mesh_neighbours

_BEAM = 24


class MeshPlan(NamedTuple):
    """`alus[node]`, and the nodes whose results go on a stream because a reader is no neighbour or of another type."""

    alus: tuple[int, ...]
    streamed: frozenset[int]


class _Partial(NamedTuple):
    cost: int
    alus: tuple[int, ...]


def assign_alus(plan: MapPlan, chip: ChipSpec) -> MeshPlan | None:
    """None if a result that must wait in a register cannot be next to all its readers."""
    order = sorted(range(len(plan.nodes)), key=lambda node: (plan.nodes[node].cycle, node))
    ranks = {node: rank for rank, node in enumerate(order)}
    beam = [_Partial(0, ())]
    for node in order:
        beam = _extend(beam, plan, ranks, node, chip.vxm_alus_per_lane)
    if not beam:
        return None
    by_rank = min(beam).alus
    alus = tuple(by_rank[ranks[node]] for node in range(len(plan.nodes)))
    streamed = frozenset(
        source.place
        for node, planned in enumerate(plan.nodes)
        for source in _list_sources(planned)
        if not _shares_register(plan, source, planned, alus[source.place], alus[node])
    )
    return MeshPlan(alus, streamed)


def _extend(beam: list[_Partial], plan: MapPlan, ranks: dict[int, int], node: int, alus: int) -> list[_Partial]:
    planned = plan.nodes[node]
    links = [(source, ranks[source.place]) for source in _list_sources(planned)]
    grown = []
    for partial in beam:
        for alu in range(alus):
            if alu in partial.alus:
                continue
            cost = partial.cost
            for source, rank in links:
                if not _shares_register(plan, source, planned, partial.alus[rank], alu):
                    if source.hold:
                        break
                    cost += not plan.nodes[source.place].results
            else:
                grown.append(_Partial(cost, (*partial.alus, alu)))
    return sorted(grown)[:_BEAM]


def _list_sources(node: Node) -> list[Source]:
    return [argument for argument in node.arguments if isinstance(argument, Source) and not argument.is_operand]


def _shares_register(plan: MapPlan, source: Source, reader: Node, source_alu: int, reader_alu: int) -> bool:
    """Whether the reader can take it from the register: a neighbour, that reads the type that is held."""
    same_type = plan.nodes[source.place].result_dtype is reader.dtype
    return same_type and source_alu in mesh_neighbours(reader_alu)
