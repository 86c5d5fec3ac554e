"""The place pass: where in SRAM every value and tile of a chip lies.

Addresses of a slice, from 0 on: what is of scope "model", then that of each kind of layer for each of its layers, then
what lives for a step, by lifetime: a value takes the addresses of those that no later operation reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.lifetimes import Lifetime, find_lifetimes
from lpu_backend.compiler.slice_choice import SliceChooser
from lpu_backend.compiler.sram import list_plane_slices, list_planes, list_value_slices
from lpu_backend.compiler.template import Placement, TilePlace
from lpu_backend.compiler.value_place import ValuePlace
from lpu_backend.compiler.vector_program import Tiles, Value, VectorProgram


@dataclass(frozen=True)
class Part:
    """A program of a chip's: of a kind of layer (all shapes of step share the kind's constants) or of the head.

    `kept` are the step's values that the host reads when it is over.
    """

    program: VectorProgram
    kind: str
    layers: int = 1
    kept: tuple[str, ...] = ()


@dataclass
class _Kind:
    """Places of a kind's constants, and how many addresses of each slice a layer takes."""

    layers: int
    begin: dict[str, int]
    heights: dict[str, int] = field(default_factory=dict)
    values: dict[tuple[str, int], ValuePlace] = field(default_factory=dict)
    tiles: dict[str, TilePlace] = field(default_factory=dict)

    def top(self, slice_name: str) -> int:
        """Past the last address of its first layer."""
        return self.begin.get(slice_name, 0) + self.heights.get(slice_name, 0)


def place_parts(parts: Sequence[Part], chip: ChipSpec) -> list[Placement]:
    """A placement a part. CompileError if a slice has too few addresses."""
    placer = _Placer(parts, chip)
    return placer.place()


class _Placer:
    def __init__(self, parts: Sequence[Part], chip: ChipSpec) -> None:
        self._parts, self._chip = parts, chip
        self._slices = [SliceChooser(part.program, chip) for part in parts]
        self._model = _Kind(1, {})
        self._kinds: dict[str, _Kind] = {}

    def place(self) -> list[Placement]:
        for index, part in enumerate(self._parts):
            self._place_lasting(index, self._model, "model", part)
        floor = dict(self._model.heights)
        for kind in dict.fromkeys(part.kind for part in self._parts):
            parts = [(index, part) for index, part in enumerate(self._parts) if part.kind == kind]
            held = self._kinds[kind] = _Kind(parts[0][1].layers, dict(floor))
            for index, part in parts:
                self._place_lasting(index, held, "layer", part)
            self._level(held)
            for slice_name, height in held.heights.items():
                floor[slice_name] = held.begin.get(slice_name, 0) + height * held.layers
        return [self._finish(index, part, floor) for index, part in enumerate(self._parts)]

    def _level(self, kind: _Kind) -> None:
        """A value has one address for all its slices, in every layer: so a layer takes as much of each of them."""
        slices = [name for side in list_value_slices(self._chip).values() for name in side if name in kind.heights]
        height = max((kind.heights[name] for name in slices), default=0)
        kind.heights.update(dict.fromkeys(slices, height))

    def _place_lasting(self, index: int, kind: _Kind, scope: str, part: Part) -> None:
        for value in part.program.values:
            if value.scope == scope and (value.name, value.rows) not in kind.values:
                slices = self._slices[index].choose(value)
                kind.values[value.name, value.rows] = ValuePlace(slices, self._stack(kind, slices, _height(value)))
        # The largest first: small ones then fill what those leave of each plane.
        for tiles in sorted(part.program.tiles, key=_count_tile_rows, reverse=True):
            if tiles.scope == scope and tiles.name not in kind.tiles:
                kind.tiles[tiles.name] = self._place_tiles(kind, tiles)
        for value in part.program.values:
            if value.scope == scope:
                self._slices[index].fix(value, kind.values[value.name, value.rows].slices)

    def _place_tiles(self, kind: _Kind, tiles: Tiles) -> TilePlace:
        """On as many planes as there are tiles across, those with the most room; the emptiest gets the first."""
        names = list_planes(self._chip)
        first = {plane: list_plane_slices(self._chip, plane)[0] for plane in names}
        fill = {plane: kind.begin.get(first[plane], 0) + kind.heights.get(first[plane], 0) for plane in names}
        planes = tuple(sorted(names, key=lambda plane: fill[plane])[: tiles.outputs])
        height = -(-tiles.rows // self._chip.mxm_load_streams)
        addresses = []
        for place, plane in enumerate(planes):
            deep = len(range(place, tiles.outputs, len(planes)))
            addresses.append(self._stack(kind, list_plane_slices(self._chip, plane), deep * tiles.inputs * height))
        return TilePlace(planes, tuple(addresses))

    def _stack(self, kind: _Kind, slices: Sequence[str], height: int) -> int:
        address = max(kind.begin.get(name, 0) + kind.heights.get(name, 0) for name in slices)
        for name in slices:
            kind.heights[name] = address + height - kind.begin.get(name, 0)
        return address

    def _finish(self, index: int, part: Part, floor: dict[str, int]) -> Placement:
        kind = self._kinds[part.kind]
        values = {}
        for value in part.program.values:
            if value.scope != "step":
                values[value.name] = (self._model if value.scope == "model" else kind).values[value.name, value.rows]
        values |= _place_by_lifetime(part, self._slices[index], floor)
        temporary = _Kind(1, dict(floor))
        tiles = {
            tiles.name: self._place_tiles(temporary, tiles)
            if tiles.scope == "step"
            else (self._model if tiles.scope == "model" else kind).tiles[tiles.name]
            for tiles in part.program.tiles
        }
        self._check(part, values, {name: temporary.top(name) for name in floor.keys() | temporary.heights.keys()})
        return Placement(values, tiles, dict(kind.heights))

    def _check(self, part: Part, values: dict[str, ValuePlace], floor: dict[str, int]) -> None:
        """CompileError if anything lies past the end of a slice."""
        tops = list(floor.items())
        for value in part.program.values:
            place = values[value.name]
            tops += [(name, place.address + _height(value)) for name in place.slices]
        name, top = max(tops, key=lambda entry: entry[1], default=("", 0))
        if top > self._chip.mem_addresses:
            raise CompileError(f"{name} would need {top} addresses, it has {self._chip.mem_addresses}")


def _count_tile_rows(tiles: Tiles) -> int:
    return tiles.outputs * tiles.inputs * tiles.rows


def _height(value: Value) -> int:
    """Addresses that a value takes of each of its slices."""
    return -(-value.rows // value.spread)


def _place_by_lifetime(part: Part, slices: SliceChooser, floor: dict[str, int]) -> dict[str, ValuePlace]:
    """First fit, in the order in which the values come to life."""
    lifetimes = find_lifetimes(part.program, part.kept)
    taken: dict[str, list[tuple[Lifetime, int, int]]] = {}
    places: dict[str, ValuePlace] = {}
    values = {value.name: value for value in part.program.values}
    for name, life in sorted(lifetimes.items(), key=lambda entry: entry[1]):
        value = values[name]
        chosen, height = slices.choose(value), _height(value)
        others = [
            (begin, end)
            for slice_name in chosen
            for other, begin, end in taken.get(slice_name, ())
            if other.begin <= life.end and life.begin <= other.end
        ]
        address = max((floor.get(slice_name, 0) for slice_name in chosen), default=0)
        for begin, end in sorted(others):
            if address + height <= begin:
                break
            address = max(address, end)
        places[name] = ValuePlace(chosen, address)
        for slice_name in chosen:
            taken.setdefault(slice_name, []).append((life, address, address + height))
    return places
