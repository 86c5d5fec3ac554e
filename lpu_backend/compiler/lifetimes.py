"""Which operations read and write which values, and from when to when a value of a step is needed."""

from collections.abc import Iterator
from typing import NamedTuple

from lpu_backend.compiler.vector_program import (
    AllGather,
    LaneMax,
    Map,
    MatMul,
    Operation,
    PermuteLanes,
    StoreRow,
    TransposeTile,
    VectorProgram,
)


class Lifetime(NamedTuple):
    """Places of the first and the last operation that has to do with a value."""

    begin: int
    end: int


def list_read_values(operation: Operation) -> Iterator[str]:
    """Values that an operation reads."""
    match operation:
        case Map():
            yield from (rows.value for rows in operation.operands)
        case LaneMax() | PermuteLanes():
            yield operation.source.value
            if operation.lane_map is not None:
                yield operation.lane_map.value
        case MatMul() | AllGather():
            yield operation.source
        case StoreRow():
            yield operation.source.value
        case TransposeTile():
            yield operation.identity


def list_written_values(operation: Operation) -> Iterator[str]:
    """Values that an operation writes."""
    match operation:
        case Map():
            yield from (result.rows.value for result in operation.results)
        case LaneMax() | PermuteLanes():
            yield operation.destination.value
        case MatMul():
            yield from (rows.value for rows in operation.destinations)
        case AllGather():
            yield operation.destination


def list_values(operation: Operation) -> tuple[str, ...]:
    """Values that an operation reads or writes, each once."""
    return tuple(dict.fromkeys([*list_read_values(operation), *list_written_values(operation)]))


def find_lifetimes(program: VectorProgram, kept: tuple[str, ...]) -> dict[str, Lifetime]:
    """Of each value of scope "step"; those `kept` live to the end."""
    found: dict[str, Lifetime] = {}
    temporary = dict.fromkeys(value.name for value in program.values if value.scope == "step")
    for place, operation in enumerate(program.operations):
        for name in list_values(operation):
            if name in temporary:
                found[name] = Lifetime(found[name].begin if name in found else place, place)
    last = len(program.operations)
    lives = {name: found.get(name, Lifetime(0, 0)) for name in temporary}
    return {name: life._replace(end=last) if name in kept else life for name, life in lives.items()}
