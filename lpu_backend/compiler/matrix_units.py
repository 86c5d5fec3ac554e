"""Products on the MXM: tiles are loaded while those before them are multiplied.

A unit is one column of tiles on one side: for each plane the loading of its tile, its installation, the vectors and the
accumulation of their products. Planes of a side share the vectors, one position apart; the last column is done plane
by plane, since its sums all go to the same slices.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.layouts_in_sram import Places
from lpu_backend.compiler.sram import SIDES, side_of
from lpu_backend.compiler.timetable import Timetable
from lpu_backend.compiler.units import Series, Spot, UnitBuilder, compress
from lpu_backend.compiler.vector_program import MatMul, Rows, TransposeTile
from lpu_backend.isa.instructions import Accumulate, ActivationBuffer, InstallWeights, LoadWeights
from lpu_backend.isa.operands import DataType, Stream

_INT32_BYTES = 4


@dataclass
class PlaneState:
    """The cycles of a plane's last installation and last vector: those of the next tile come after."""

    installed: int = -1
    multiplied: int = -1


class MatrixPlanner:
    """Places products of a template; the planes' states pass from one to the next."""

    def __init__(self, places: Places, timetable: Timetable, chip: ChipSpec) -> None:
        self._places, self._timetable, self._chip = places, timetable, chip
        self._planes: defaultdict[str, PlaneState] = defaultdict(PlaneState)

    def multiply(self, operation: MatMul, outputs: int) -> None:
        """A MatMul with `outputs` tiles across."""
        slots = self._chip.mxm_accumulators
        for begin in range(0, len(operation.vectors), slots):
            vectors = operation.vectors[begin : begin + slots]
            destinations = operation.destinations[begin : begin + slots]
            for group in self._group_outputs(operation.tiles, outputs):
                if operation.shared:
                    for output in group:
                        self._multiply_shared(operation, output, vectors, destinations)
                else:
                    self._multiply_group(operation, group, vectors, destinations)

    def transpose(self, operation: TransposeTile, rows: int) -> None:
        """Rows of the identity through a tile: each product is a row of the transpose, whose low byte is stored."""
        plane = self._places.find_plane(operation.source, operation.source_output)
        unit = _TileUnit(self._places, self._chip, side_of(plane))
        unit.load(operation.source, operation.source_output, operation.source_input, plane)
        sources = [self._places.find_row(operation.identity, row) for row in range(rows)]
        unit.feed(sources, [plane])
        spots = self._places.list_tile_rows(operation.destination, operation.output, operation.input)
        unit.accumulate(plane, Series(0, rows - 1), "new", step=0, places=_spread_tile(spots, rows))
        self._place(unit, [plane], rows)

    def _group_outputs(self, tiles: str, outputs: int) -> Iterator[list[int]]:
        """Outputs that are on planes of their own, together."""
        group: list[int] = []
        for output in range(outputs):
            if any(self._places.find_plane(tiles, output) == self._places.find_plane(tiles, other) for other in group):
                yield group
                group = []
            group.append(output)
        if group:
            yield group

    def _multiply_group(
        self,
        operation: MatMul,
        group: Sequence[int],
        vectors: Sequence[tuple[int, ...]],
        destinations: Sequence[Rows],
    ) -> None:
        columns = len(vectors[0])
        for column in range(columns):
            sources = [self._places.find_row(operation.source, vector[column]) for vector in vectors]
            if column + 1 < columns:
                for side in SIDES:
                    outputs = [output for output in group if side_of(self._plane(operation, output)) == side]
                    if outputs:
                        self._multiply_column(operation, outputs, column, sources, None)
            else:
                for output in group:
                    self._multiply_column(operation, [output], column, sources, destinations)

    def _plane(self, operation: MatMul, output: int) -> str:
        return self._places.find_plane(operation.tiles, output)

    def _multiply_column(
        self,
        operation: MatMul,
        outputs: Sequence[int],
        column: int,
        sources: Sequence[Spot],
        destinations: Sequence[Rows] | None,
    ) -> None:
        """Tiles (output, column) of one side times the vectors; with destinations the sums go there."""
        planes = {self._plane(operation, output): output for output in outputs}
        names = sorted(planes)
        unit = _TileUnit(self._places, self._chip, side_of(names[0]))
        rows = self._places.count_tile_rows(operation.tiles)
        # Two planes' loads take all streams; with many vectors they take turns, so that the vectors have one all along.
        apart = rows // self._chip.mxm_load_streams + 1 if len(sources) > rows // self._chip.mxm_load_streams else 0
        for number, name in enumerate(names):
            unit.load(operation.tiles, planes[name], column, name, early=number * apart)
        unit.feed(sources, names)
        for name in names:
            places = None if destinations is None else self._list_rows(destinations, planes[name])
            unit.accumulate(name, Series(0, len(sources) - 1), "add" if column else "new", step=1, places=places)
        self._place(unit, names, len(sources))

    def _multiply_shared(
        self, operation: MatMul, output: int, vectors: Sequence[tuple[int, ...]], destinations: Sequence[Rows]
    ) -> None:
        """One tile for all columns: loaded once, then all rows in turn."""
        plane = self._plane(operation, output)
        unit = _TileUnit(self._places, self._chip, side_of(plane))
        unit.load(operation.tiles, output, 0, plane)
        columns, count = len(vectors[0]), len(vectors)
        rows = [vector[column] for column in range(columns) for vector in vectors]
        unit.feed([self._places.find_row(operation.source, row) for row in rows], [plane])
        for column in range(columns):
            places = self._list_rows(destinations, output) if column + 1 == columns else None
            unit.accumulate(plane, Series(column * count, count - 1), "add" if column else "new", step=1, places=places)
        self._place(unit, [plane], columns * count)

    def _list_rows(self, destinations: Sequence[Rows], output: int) -> list[list[Spot]]:
        """For each vector the four bytes of its row."""
        return [
            [self._places.find_row(rows.value, rows.at(output), byte) for byte in range(_INT32_BYTES)]
            for rows in destinations
        ]

    def _place(self, unit: "_TileUnit", planes: Sequence[str], vectors: int) -> None:
        """After what the planes still do with the tiles before."""
        bounds = [0]
        for name in planes:
            state = self._planes[name]
            bounds.append(state.installed - unit.loaded[name])
            bounds.append(state.multiplied + 1 - unit.installed[name])
        unit.builder.unit.earliest = max(bounds)
        start = self._timetable.place(unit.builder.unit)
        for name in planes:
            installed = start + unit.installed[name]
            self._planes[name] = PlaneState(installed, installed + vectors - 1)


class _TileUnit:
    """Cycles from 0: the first vector's ABC on the inner plane of the unit."""

    def __init__(self, places: Places, chip: ChipSpec, side: str) -> None:
        self.builder = UnitBuilder(chip)
        self.loaded: dict[str, int] = {}
        self.installed: dict[str, int] = {}
        self._places, self._chip, self._side = places, chip, side
        self._outward = "E" if side == "E" else "W"
        self._inner: str | None = None

    def load(self, tiles: str, output: int, column: int, plane: str, *, early: int = 0) -> None:
        """LW of all rows and IW, so that the array is there for the first vector; the load may come earlier."""
        self._inner = self._inner or plane
        builder, load = self.builder, self._chip.mxm_load_streams
        rows = self._places.count_tile_rows(tiles)
        count = rows // load
        begin = self._places.distance(plane, self._inner)
        self.installed[plane] = begin
        lag = self._chip.timing("LW").skew + 1
        loads = Series(begin - lag - early - (count - 1), count - 1)
        self.loaded[plane] = loads.cycle
        transport = builder.open(self._outward, load)  # type: ignore[arg-type]  # E or W
        sampled = Series(loads.cycle + self._chip.timing("LW").skew, count - 1)
        for place, spot in enumerate(self._places.list_tile_rows(tiles, output, column)):
            builder.read(spot, (transport, place), sampled, plane)
        queue = f"{plane}_WEIGHTS"
        builder.issue(queue, loads, lambda streams: LoadWeights(streams[transport], 0, load if count > 1 else 0))
        builder.issue(queue, Series(begin), lambda _: InstallWeights(rows))

    def feed(self, sources: Sequence[Spot], planes: Sequence[str]) -> None:
        """A vector a cycle, past the inner plane to the outer one."""
        builder, skew = self.builder, self._chip.timing("ABC.int8").skew
        transport = builder.open(self._outward, 1, highest_first=True)  # type: ignore[arg-type]
        points: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for cycle, spot in enumerate(sources):
            points[spot.slice_name, spot.scope].append((cycle + skew, spot.address))
        for (slice_name, scope), found in points.items():
            for series, address, step in compress(found):
                spot = Spot(slice_name, address, step, scope)  # type: ignore[arg-type]
                builder.read(spot, (transport, 0), series, planes[0], planes[-1])
        for plane in planes:
            vectors = Series(self._places.distance(plane, planes[0]), len(sources) - 1)
            builder.issue(
                f"{plane}_ABC", vectors, lambda streams: ActivationBuffer(DataType.INT8, _at(streams, transport))
            )

    def accumulate(
        self, plane: str, vectors: Series, mode: str, *, step: int, places: Sequence[Sequence[Spot]] | None
    ) -> None:
        """ACC of vectors `vectors.cycle` on; with `places` each sum's bytes go there, as many as it has."""
        builder = self.builder
        begin = self.installed[plane] + vectors.cycle + self._chip.timing("ABC.int8").func
        series = Series(begin, vectors.count)
        destination: int | None = None
        if places is not None:
            destination = builder.open("W" if self._side == "E" else "E", _INT32_BYTES)
            self._write(plane, begin + self._chip.timing("ACC").func, destination, places)

        def make(streams: Sequence[Stream]) -> Accumulate:
            to = None if destination is None else streams[destination]
            return Accumulate(mode, 0, to, step if vectors.count else 0)  # type: ignore[arg-type]

        builder.issue(f"{plane}_ACC", series, make)

    def _write(self, plane: str, driven: int, transport: int, places: Sequence[Sequence[Spot]]) -> None:
        points: defaultdict[tuple[str, str, int], list[tuple[int, int]]] = defaultdict(list)
        for place, bytes_ in enumerate(places):
            for byte, spot in enumerate(bytes_):
                points[spot.slice_name, spot.scope, byte].append((driven + place, spot.address))
        unwritten = set(range(_INT32_BYTES)) - {byte for _, _, byte in points}
        for (slice_name, scope, byte), found in points.items():
            for series, address, step in compress(found):
                spot = Spot(slice_name, address, step, scope)  # type: ignore[arg-type]
                self.builder.write(spot, (transport, byte), series, plane)
        for byte in unwritten:
            self.builder.pass_on((transport, byte), Series(driven, len(places) - 1), plane)


def _at(streams: Sequence[Stream], transport: int) -> Stream:
    return streams[transport]


def _spread_tile(spots: Sequence[Spot], rows: int) -> list[list[Spot]]:
    """Row r in place r % 16, the low byte alone."""
    load = len(spots)
    return [
        [Spot(spots[row % load].slice_name, spots[row % load].address + row // load, 0, spots[row % load].scope)]
        for row in range(rows)
    ]
