"""Which slices a value takes: values that one operation reads and writes at the same time should share none."""

from collections import Counter, defaultdict

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.lifetimes import list_values
from lpu_backend.compiler.sram import SIDES, list_value_slices, side_of
from lpu_backend.compiler.vector_program import LaneMax, Map, MatMul, PermuteLanes, Value, VectorProgram

_CLASH = 1 << 20
"""Outweighs any number of addresses."""
_WEIGHTS = {Map: 2, MatMul: 2, LaneMax: 64, PermuteLanes: 64}
"""A Map can go slower where two of its values share a slice; a Permute takes vector and map in one cycle, always."""


class SliceChooser:
    """Chooses slices for the values of a program, one after the other."""

    def __init__(self, program: VectorProgram, chip: ChipSpec) -> None:
        self._sides = list_value_slices(chip)
        self._together: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._same_side: dict[str, set[str]] = defaultdict(set)
        self._chosen: dict[str, tuple[str, ...]] = {}
        self._filled: Counter[str] = Counter()
        for operation in program.operations:
            names = list_values(operation)
            weight = _WEIGHTS.get(type(operation), 1)
            for name in names:
                for other in names:
                    if other != name:
                        self._together[name][other] += weight
            if isinstance(operation, Map):
                self._bind_results(operation)

    def choose(self, value: Value) -> tuple[str, ...]:
        """Slices, a byte and way each; the same at every call. CompileError if a side has too few."""
        if value.name not in self._chosen:
            count = value.dtype.streams * value.spread
            clashes: Counter[str] = Counter()
            for other, weight in self._together[value.name].items():
                for name in self._chosen.get(other, ()):
                    clashes[name] += weight
            best = min(self._list_options(value, count, clashes), default=None)
            if best is None:
                raise CompileError(f"{value.name} needs {count} slices, a side has {len(self._sides['E'])} for values")
            self.fix(value, best[1])
        return self._chosen[value.name]

    def fix(self, value: Value, slices: tuple[str, ...]) -> None:
        """Take what was chosen elsewhere."""
        if value.name not in self._chosen:
            self._chosen[value.name] = slices
            for name in slices:
                self._filled[name] += -(-value.rows // value.spread)

    def _list_options(self, value: Value, count: int, clashes: Counter[str]) -> list[tuple[int, tuple[str, ...]]]:
        wanted = {side_of(self._chosen[other][0]) for other in self._same_side[value.name] if other in self._chosen}
        options = []
        for side in sorted(wanted) or SIDES:
            costs = {name: clashes[name] * _CLASH + self._filled[name] for name in self._sides[side]}
            cheapest = sorted(costs, key=lambda name: costs[name])[:count]
            if len(cheapest) == count:
                options.append((sum(costs[name] for name in cheapest), tuple(sorted(cheapest, key=_place_of))))
        return options

    def _bind_results(self, operation: Map) -> None:
        """A step's result flows one way, so all values that it goes to lie on one side."""
        by_step: defaultdict[int, set[str]] = defaultdict(set)
        for result in operation.results:
            by_step[result.step].add(result.rows.value)
        for names in by_step.values():
            for name in names:
                self._same_side[name] |= names - {name}


def _place_of(slice_name: str) -> int:
    return int(slice_name[5:])
