"""How the steps of a Map become ALUs: which dispatches when, and what holds a result back until it is wanted.

Rows follow one another `interval` cycles apart. A result is on its stream, or enters its register, d_func after
dispatch, and an operand is sampled d_skew after dispatch. What is wanted later is passed through Copies, each some
cycles long, or waits in a register, which keeps it until the next row's result comes.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.vector_program import In, Of, Step
from lpu_backend.isa.instructions import TRANSCENDENTAL_OPS
from lpu_backend.isa.operands import DataType, Immediate


class Source(NamedTuple):
    """Where an ALU's operand comes from: an operand's stream, or a node's register or stream."""

    is_operand: bool
    place: int
    hold: int = 0


@dataclass
class Node:
    """An ALU's work: a step, or a Copy of `dtype`. `results` are the places of the results that it drives."""

    step: int | None
    dtype: DataType
    result_dtype: DataType
    cycle: int
    latency: int
    arguments: list[Source | Immediate] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    @property
    def available(self) -> int:
        return self.cycle + self.latency


@dataclass(frozen=True)
class MapPlan:
    """`arrivals`: in which cycle each operand is sampled, None if no step wants it. Cycles are those of the first row,
    from 0."""

    nodes: tuple[Node, ...]
    arrivals: tuple[int | None, ...]
    interval: int


class Shape(NamedTuple):
    """What of a Map decides how it is planned; `results` are steps."""

    steps: tuple[Step, ...]
    operands: int
    results: tuple[int, ...]


class _Want(NamedTuple):
    """Someone who samples a source in a cycle: an argument of a step, or a result that goes out."""

    cycle: int
    node: int
    argument: int
    dtype: DataType | None


@lru_cache(maxsize=4096)
def plan_map(
    shape: Shape, interval: int, operand_shifts: tuple[int, ...], result_shifts: tuple[int, ...], chip: ChipSpec
) -> MapPlan | None:
    """A plan in which operand i comes `operand_shifts[i]` cycles before it is first wanted and result i leaves
    `result_shifts[i]` cycles after it is there. None if 16 ALUs are too few."""
    plans = []
    for late in (False, True):
        planner = _Planner(shape, interval, (operand_shifts, result_shifts), chip)
        if planner.plan(late):
            plans.append(planner.finish())
    return min(plans, key=lambda plan: len(plan.nodes), default=None)


class _Planner:
    def __init__(
        self, shape: Shape, interval: int, shifts: tuple[tuple[int, ...], tuple[int, ...]], chip: ChipSpec
    ) -> None:
        self._shape, self._interval, self._chip = shape, interval, chip
        self._operand_shifts, self._result_shifts = shifts
        self._skew = chip.timing("Pointwise").skew
        self._copy = chip.timing("Pointwise").func
        self._nodes = [self._make_node(place, step) for place, step in enumerate(shape.steps)]
        self._arrivals: list[int | None] = [None] * shape.operands

    def plan(self, late: bool) -> bool:
        self._set_earliest()
        if late:
            self._set_latest()
        wanted = self._list_wants()
        for (is_operand, place), wants in sorted(wanted.items(), key=lambda entry: entry[0]):
            if not self._connect(is_operand, place, sorted(wants)):
                return False
        return len(self._nodes) <= self._chip.vxm_alus_per_lane

    def finish(self) -> MapPlan:
        first = min(node.cycle for node in self._nodes)
        for node in self._nodes:
            node.cycle -= first
        arrivals = tuple(None if cycle is None else cycle - first for cycle in self._arrivals)
        return MapPlan(tuple(self._nodes), arrivals, self._interval)

    def _make_node(self, place: int, step: Step) -> Node:
        kind = "Transcendental" if step.op in TRANSCENDENTAL_OPS else "Pointwise"
        latency = self._chip.timing("Convert" if step.op == "Convert" else kind).func
        arguments = [
            argument if isinstance(argument, Immediate) else Source(isinstance(argument, In), argument[0])
            for argument in step.arguments
        ]
        return Node(place, step.dtype, step.result, 0, latency, list(arguments))

    def _set_earliest(self) -> None:
        for node, step in zip(self._nodes, self._shape.steps, strict=True):
            producers = [self._nodes[argument.step] for argument in step.arguments if isinstance(argument, Of)]
            node.cycle = max((producer.available - self._skew for producer in producers), default=0)

    def _set_latest(self) -> None:
        """As late as consumers allow, but for what nobody but the outside waits for."""
        limits: dict[int, int] = {}
        for place in range(len(self._nodes) - 1, -1, -1):
            node = self._nodes[place]
            if place in limits:
                node.cycle = max(node.cycle, limits[place] + self._skew - node.latency)
            for argument in self._shape.steps[place].arguments:
                if isinstance(argument, Of):
                    limits[argument.step] = min(limits.get(argument.step, node.cycle), node.cycle)

    def _list_wants(self) -> dict[tuple[bool, int], list[_Want]]:
        wants: defaultdict[tuple[bool, int], list[_Want]] = defaultdict(list)
        for place, step in enumerate(self._shape.steps):
            for number, argument in enumerate(step.arguments):
                if not isinstance(argument, Immediate):
                    want = _Want(self._nodes[place].cycle + self._skew, place, number, step.dtype)
                    wants[isinstance(argument, In), argument[0]].append(want)
        for number, step_place in enumerate(self._shape.results):
            cycle = self._nodes[step_place].available + self._result_shifts[number]
            wants[False, step_place].append(_Want(cycle, -1, number, None))
        return {key: sorted(found, key=lambda want: want.cycle) for key, found in wants.items()}

    def _connect(self, is_operand: bool, place: int, wants: list[_Want]) -> bool:
        """From a source to those who want it, in the order of time, through Copies as needed."""
        wants = sorted(wants, key=lambda want: want.cycle)
        if is_operand:
            source, available = Source(True, place), wants[0].cycle - self._operand_shifts[place]
            self._arrivals[place] = available
        else:
            source, available = Source(False, place), self._nodes[place].available
        for want in wants:
            while not self._can_tap(source, want.cycle - available, want):
                longest = 0 if source.is_operand else self._interval - 1
                hold = min(longest, want.cycle - available - (self._copy - self._skew))
                if hold < 0:
                    return False
                source, available = self._add_copy(source, available + hold, hold, want)
            self._tap(source, want.cycle - available, want)
        return True

    def _can_tap(self, source: Source, delay: int, want: _Want) -> bool:
        if delay == 0:
            return want.node >= 0 or not source.is_operand
        holds = not source.is_operand and want.node >= 0 and want.dtype is self._nodes[source.place].result_dtype
        return holds and 0 < delay < self._interval

    def _tap(self, source: Source, hold: int, want: _Want) -> None:
        if want.node < 0:
            self._nodes[source.place].results.append(want.argument)
        else:
            self._nodes[want.node].arguments[want.argument] = source._replace(hold=hold)

    def _add_copy(self, source: Source, sampled: int, hold: int, want: _Want) -> tuple[Source, int]:
        dtype = want.dtype if source.is_operand else self._nodes[source.place].result_dtype
        assert dtype is not None  # noqa: S101  results come from steps
        node = Node(None, dtype, dtype, sampled - self._skew, self._copy, [source._replace(hold=hold)])
        self._nodes.append(node)
        return Source(False, len(self._nodes) - 1), node.available
