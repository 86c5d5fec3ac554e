"""The partition pass: which chips hold which layers. Tensor parallel in a group of chips, a pipeline of groups.

All groups of layers have the same size; a stage is consecutive layers on one group. The head lies on a group of its
own, in what the other groups leave of a node or rack, or with the last layers. The embedding table stays with the
host, which looks up a row a token (assumed: no source says where it lies).

Of all group sizes that fit, the one with the fewest cycles a token, as estimated, is taken; with it, as many stages as
there is room for, since each stage can work for another user.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Literal, NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.chip_groups import ChipGroup, count_rack_chips, list_groups, list_rests
from lpu_backend.compiler.costing import PartCost, PartCosts
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.estimating import estimate_gather
from lpu_backend.compiler.memory import ChipMemory, add_parts, count_users, does_fit

HeadPlace = Literal["rest", "own", "last"]
_HEAD_PLACES: tuple[HeadPlace, ...] = ("rest", "own", "last")


@dataclass(frozen=True)
class Stage:
    """Layers `first_layer` and on, `layers` of them, on a group; what each of its chips holds, one cache included."""

    first_layer: int
    layers: int
    group: ChipGroup
    memory: ChipMemory
    has_head: bool = False

    @property
    def layer_range(self) -> range:
        return range(self.first_layer, self.first_layer + self.layers)


@dataclass(frozen=True)
class Partition:
    """`stages` in order; the last one has the head, alone or with layers. `tensor_parallel` chips hold a layer.

    `caches` is how many users' caches each stage has room for.
    """

    chips: int
    tensor_parallel: int
    stages: tuple[Stage, ...]
    caches: int
    estimated_cycles: int

    @property
    def used_chips(self) -> int:
        return sum(stage.group.chips for stage in self.stages)

    @property
    def users(self) -> int:
        """Users at once: each in a stage of its own, with a cache of its own."""
        return min(len(self.stages), self.caches)


def partition_model(costs: PartCosts, chips: int, chip: ChipSpec) -> Partition:
    """Divide a model over `chips` chips. CompileError that says how many are needed, if these are too few or no
    system has as many."""
    most_chips = count_rack_chips(chip) * chip.max_racks
    if chips > most_chips:
        raise CompileError(f"no system has {chips:,} chips; the largest has {most_chips:,}")
    ways = [way for size in _list_sizes(chips, chip) for way in _Division(costs, size, chip).list_ways(chips)]
    if not ways:
        raise CompileError(f"{chips:,} chips are too few: {find_minimum_chips(costs, chip):,} are needed")
    return min(ways, key=lambda way: (way.estimated_cycles, way.used_chips))


def find_minimum_chips(costs: PartCosts, chip: ChipSpec) -> int:
    """The least number of chips that `partition_model` can divide the model over. CompileError if there is none."""
    sizes = _list_sizes(count_rack_chips(chip), chip)
    found = [_Division(costs, size, chip).find_minimum_chips() for size in sizes]
    possible = [chips for chips in found if chips is not None]
    if not possible:
        raise CompileError("no system has the chips for this model: one of its layers needs more than a rack")
    return min(possible)


def _list_sizes(chips: int, chip: ChipSpec) -> range:
    return range(1, min(chips, count_rack_chips(chip)) + 1)


class _Pack(NamedTuple):
    """Numbers of layers of each stage, in order; with `has_head` the last has the head too."""

    layers: tuple[int, ...]
    has_head: bool


class _Division:
    """Ways to divide a model into groups of one size."""

    def __init__(self, costs: PartCosts, size: int, chip: ChipSpec) -> None:
        self._kinds, self._size, self._chip = costs.kinds, size, chip
        self._costs = costs
        self._has_room = cache(self._has_room_for)

    def list_ways(self, chips: int) -> Iterator[Partition]:
        """All that fit `chips`: one for each place of the head."""
        if not self._fits_each_layer():
            return
        groups = list(takewhile(lambda group: group.after <= chips, list_groups(self._size, self._chip)))
        for place in _HEAD_PLACES:
            head = self._place_head(place, groups, chips)
            room = len(groups) - (place == "own")
            if head is None or room < 1 or not self._fits_head(head):
                continue
            pack = self._pack_evenly(room, has_head=place == "last")
            if pack is not None:
                used = groups[: len(pack.layers)]
                yield self._finish(chips, pack, used, groups[len(used)] if place == "own" else head)

    def find_minimum_chips(self) -> int | None:
        """Chips up to the last one that is needed, over the places of the head; None if no system is large enough."""
        if not self._fits_each_layer():
            return None
        found = [self._find_end(place) for place in _HEAD_PLACES]
        return min((end for end in found if end is not None), default=None)

    def _find_end(self, place: HeadPlace) -> int | None:
        pack = self._pack(len(self._kinds), has_head=place == "last")
        if pack is None:
            return None
        groups = list(list_groups(self._size, self._chip))
        if len(groups) < len(pack.layers) + (place == "own"):
            return None
        if place == "own":
            return groups[len(pack.layers)].after if self._fits_head(groups[0]) else None
        head = self._place_head(place, groups, groups[-1].after)
        if head is None or not self._fits_head(head):
            return None
        return max(groups[len(pack.layers) - 1].after, head.after if place == "rest" else 0)

    def _place_head(self, place: HeadPlace, groups: Sequence[ChipGroup], chips: int) -> ChipGroup | None:
        if place != "rest":
            return groups[-1] if groups else None
        first = next(list_rests(self._size, self._chip), None)
        return first if first is not None and first.after <= chips else None

    # How many layers a stage takes.

    def _pack_evenly(self, room: int, *, has_head: bool) -> _Pack | None:
        """At most `room` stages, none with more layers than it must."""
        layers = len(self._kinds)
        fewest = self._pack(layers, has_head=has_head)
        if fewest is None or len(fewest.layers) > room:
            return None
        limits = range(-(-layers // room), layers)
        packs = (self._pack(limit, has_head=has_head) for limit in limits)
        return next((pack for pack in packs if pack is not None and len(pack.layers) <= room), fewest)

    def _pack(self, limit: int, *, has_head: bool) -> _Pack | None:
        """Stages of up to `limit` layers, filled from the last one on. None if the head leaves no layer room."""
        stages: list[list[int]] = [[]]
        for kind in reversed(self._kinds):
            stage, is_last = stages[-1], len(stages) == 1
            if len(stage) == limit or not self._has_room((*sorted(stage), kind), has_head and is_last):
                if not stage:
                    return None
                stages.append([])
            stages[-1].append(kind)
        return _Pack(tuple(len(stage) for stage in reversed(stages)), has_head)

    def _has_room_for(self, kinds: tuple[int, ...], has_head: bool) -> bool:
        costs = [self._costs.cost_layer(kind, self._size) for kind in kinds]
        return self._fits([*costs, self._costs.cost_head(self._size)] if has_head else costs)

    def _fits_each_layer(self) -> bool:
        return all(self._has_room((kind,), False) for kind in sorted(set(self._kinds)))

    def _fits_head(self, group: ChipGroup) -> bool:
        return self._fits([self._costs.cost_head(group.chips)])

    def _fits(self, costs: Sequence[PartCost]) -> bool:
        return does_fit(add_parts([cost.memory for cost in costs], self._chip), self._chip)

    def _finish(self, chips: int, pack: _Pack, groups: Sequence[ChipGroup], head: ChipGroup) -> Partition:
        stages, caches, first = [], [], 0
        for group, layers in zip(groups, pack.layers, strict=True):
            has_head = pack.has_head and group == groups[-1]
            costs = [self._costs.cost_layer(kind, self._size) for kind in self._kinds[first : first + layers]]
            costs += [self._costs.cost_head(self._size)] if has_head else []
            memories = [cost.memory for cost in costs]
            stages.append(Stage(first, layers, group, add_parts(memories, self._chip), has_head))
            caches.append(count_users(memories, self._chip))
            first += layers
        if not pack.has_head:
            memory = add_parts([self._costs.cost_head(head.chips).memory], self._chip)
            stages.append(Stage(first, 0, head, memory, has_head=True))
        cycles = self._estimate(stages)
        return Partition(chips, self._size, tuple(stages), min(caches), cycles)

    def _estimate(self, stages: Sequence[Stage]) -> int:
        """Cycles a token: every layer, the head, and the rows handed from stage to stage."""
        layers = sum(self._costs.cost_layer(kind, self._size).cycles for kind in self._kinds)
        hand_over = estimate_gather(1, 2, self._chip)
        return layers + self._costs.cost_head(stages[-1].group.chips).cycles + hand_over * (len(stages) - 1)
