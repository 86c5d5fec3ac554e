"""Where the rows of placed values and tiles are, slice by slice."""

from collections.abc import Iterator
from math import gcd

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.compiler.sram import list_plane_slices
from lpu_backend.compiler.template import Placement
from lpu_backend.compiler.units import Series, Spot
from lpu_backend.compiler.vector_program import Rows, VectorProgram


class Places:
    """The placement of one program."""

    def __init__(self, program: VectorProgram, placement: Placement, chip: ChipSpec) -> None:
        self._chip, self._placement = chip, placement
        self._values = {value.name: value for value in program.values}
        self._tiles = {tiles.name: tiles for tiles in program.tiles}
        self._positions = plan_floor(chip).positions

    def width(self, value: str) -> int:
        """Bytes of an element."""
        return self._values[value].dtype.streams

    def distance(self, one: str, other: str) -> int:
        """Positions between two slices, planes or the VXM."""
        return abs(self._positions[one] - self._positions[other])

    def walk(self, rows: Rows, count: int, begin: Series) -> Iterator[tuple[Spot, Series, int]]:
        """(spot, cycles, byte) of `count` rows that follow one another `begin.distance` cycles apart from `begin.cycle`
        on: a series for each byte and each way that the rows lie in."""
        value, place = self._values[rows.value], self._placement.values[rows.value]
        spread = value.spread
        period = spread // gcd(rows.stride, spread) if rows.stride else 1
        for first in range(min(period, count)):
            row = rows.at(first)
            series = Series(
                begin.cycle + first * begin.distance, len(range(first, count, period)) - 1, begin.distance * period
            )
            for byte in range(value.dtype.streams):
                slice_name = place.slices[byte * spread + row % spread]
                spot = Spot(slice_name, place.address + row // spread, rows.stride * period // spread, value.scope)
                yield spot, series, byte

    def find_row(self, value: str, row: int, byte: int = 0) -> Spot:
        """One byte of one row."""
        held, place = self._values[value], self._placement.values[value]
        slice_name = place.slices[byte * held.spread + row % held.spread]
        return Spot(slice_name, place.address + row // held.spread, 0, held.scope)

    def find_plane(self, tiles: str, output: int) -> str:
        """The plane that a tile is loaded into."""
        planes = self._placement.tiles[tiles].planes
        return planes[output % len(planes)]

    def list_tile_rows(self, tiles: str, output: int, column: int) -> list[Spot]:
        """Rows 0 to 15 of a tile, each with those 16 further on after it: a slice each."""
        held, place = self._tiles[tiles], self._placement.tiles[tiles]
        load = self._chip.mxm_load_streams
        across = len(place.planes)
        deep = (output // across) * held.inputs + column
        address = place.addresses[output % across] + deep * (held.rows // load)
        slices = list_plane_slices(self._chip, place.planes[output % across])
        return [Spot(name, address, 1, held.scope) for name in slices]

    def count_tile_rows(self, tiles: str) -> int:
        """Rows of each tile, a multiple of 16."""
        return self._tiles[tiles].rows
