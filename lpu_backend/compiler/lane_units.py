"""What moves lanes: on the SXM of the side where the source lies."""

from typing import Final, NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.alu_issues import VXM, AluIssues
from lpu_backend.compiler.layouts_in_sram import Places
from lpu_backend.compiler.map_plan import Shape, plan_map
from lpu_backend.compiler.mesh import assign_alus
from lpu_backend.compiler.sram import side_of
from lpu_backend.compiler.units import Access, Issue, Make, Series, Unit, UnitBuilder
from lpu_backend.compiler.vector_program import In, LaneMax, Of, PermuteLanes, Rows, Step, StoreRow
from lpu_backend.isa.instructions import Permute, Rotate, Write
from lpu_backend.isa.operands import DataType

_SIDE: Final = 4
"""Rotate turns a tile's lanes as a block of 4 x 4: over its 16 streams each lane sees them all."""


def make_permute_unit(operation: PermuteLanes, places: Places, chip: ChipSpec) -> Unit:
    """Byte by byte through the Permute unit, one a cycle."""
    moves = _LaneMoves(places, chip)
    first = places.find_row(operation.source.value, operation.source.start)
    sxm = f"SXM_{side_of(first.slice_name)}"
    width = places.width(operation.source.value)
    permuted = moves.permute(operation.source, operation.lane_map, operation.rows, width, sxm)
    moves.write(operation.destination, operation.rows, permuted, width, sxm)
    return moves.builder.unit


def make_lane_max_unit(operation: LaneMax, places: Places, chip: ChipSpec) -> Unit:
    """Perhaps a Permute, then all rotations of each tile, and the largest of the 16 by 15 ALUs."""
    moves = _LaneMoves(places, chip)
    builder, rows = moves.builder, operation.rows
    first = places.find_row(operation.source.value, operation.source.start)
    sxm = f"SXM_{side_of(first.slice_name)}"
    if operation.lane_map is None:
        turned = _Flow(builder.open(builder.towards(first.slice_name, sxm), 1), Series(0, rows - 1))
        for spot, series, byte in places.walk(operation.source, rows, Series(0)):
            builder.read(spot, (turned.transport, byte), series, sxm)
    else:
        turned = moves.permute(operation.source, operation.lane_map, rows, 1, sxm)
    goal = places.find_row(operation.destination.value, operation.destination.start).slice_name
    largest = _Tournament(moves, turned, sxm).run(goal)
    moves.write(operation.destination, rows, largest, 1, VXM)
    return builder.unit


def make_store_unit(operation: StoreRow, index: int, places: Places, chip: ChipSpec) -> Unit:
    """A Write in each of the 16 slices of the tile's rows, of which the step's position will choose one."""
    builder = UnitBuilder(chip)
    source = places.find_row(operation.source.value, operation.source.start)
    spots = places.list_tile_rows(operation.tiles, operation.output, operation.input)
    last = max(spots, key=lambda spot: places.distance(spot.slice_name, source.slice_name)).slice_name
    transport = builder.open(builder.towards(source.slice_name, last), 1)
    builder.read(source, (transport, 0), Series(0), last)
    far = places.distance(source.slice_name, last)
    rows = places.count_tile_rows(operation.tiles) // chip.mxm_load_streams
    for place, spot in enumerate(spots):
        cycle = places.distance(spot.slice_name, source.slice_name) - far
        builder.unit.issues.append(
            Issue(spot.slice_name, cycle, _make_write(spot.address, transport), 0, 1, spot.scope, index, place)
        )
        addresses = spot.address + Series(0, rows - 1).list_cycles()
        builder.unit.accesses.append(Access(spot.slice_name, 0 * addresses + cycle, addresses, True))
    return builder.unit


def _make_write(address: int, transport: int) -> Make:
    """The Write of row 0 of a store."""
    return lambda streams: Write(address, streams[transport])


class _Flow(NamedTuple):
    """Vectors of a transport, and when they are sampled next: byte b of a row b cycles after byte 0."""

    transport: int
    sampled: Series


class _LaneMoves:
    """Parts of units."""

    def __init__(self, places: Places, chip: ChipSpec) -> None:
        self.builder = UnitBuilder(chip)
        self.places, self.chip = places, chip

    def permute(self, source: Rows, lane_map: Rows, rows: int, width: int, sxm: str) -> _Flow:
        """Cycle 0: the first Permute samples. What comes out stands at the SXM in the cycles that are returned."""
        builder, places = self.builder, self.places
        first = places.find_row(source.value, source.start)
        come = builder.open(builder.towards(first.slice_name, sxm), 1)
        for spot, series, byte in places.walk(source, rows, Series(0, 0, width)):
            builder.read(spot, (come, 0), series._replace(cycle=series.cycle + byte), sxm)
        vectors = rows * width
        map_spot = places.find_row(lane_map.value, lane_map.start)
        maps = builder.open(builder.towards(map_spot.slice_name, sxm), 2)
        for byte in range(2):
            spot = places.find_row(lane_map.value, lane_map.start, byte)
            builder.read(spot, (maps, byte), Series(0, vectors - 1), sxm)
        timing = self.chip.timing("Permute")
        dispatched = Series(-timing.skew, vectors - 1)
        gone = builder.open("W" if sxm[-1] == "E" else "E", 1)
        builder.issue(f"{sxm}_PERMUTE", dispatched, lambda at: Permute(at[come], at[maps], at[gone]))
        return _Flow(gone, Series(timing.func - timing.skew, vectors - 1))

    def write(self, destination: Rows, rows: int, flow: _Flow, width: int, begin: str) -> None:
        """Vectors that `begin` drives on one stream, byte after byte, to their rows."""
        for spot, series, byte in self.places.walk(destination, rows, Series(flow.sampled.cycle, 0, width)):
            self.builder.write(spot, (flow.transport, 0), series._replace(cycle=series.cycle + byte), begin)


_MAX = Step("Max", DataType.UINT8, (In(0), In(1)))
_LANES = _SIDE * _SIDE


def _list_rounds() -> tuple[Step, ...]:
    """The largest of 16, in pairs."""
    steps = [_MAX._replace(arguments=(In(2 * pair), In(2 * pair + 1))) for pair in range(_LANES // 2)]
    steps += [_MAX._replace(arguments=(Of(2 * pair), Of(2 * pair + 1))) for pair in range(_LANES // 2 - 1)]
    return tuple(steps)


class _Tournament:
    """Rotate and 15 Max."""

    def __init__(self, moves: _LaneMoves, source: _Flow, sxm: str) -> None:
        self._moves, self._builder, self._source, self._sxm = moves, moves.builder, source, sxm
        self._steps = _list_rounds()
        shape = Shape(self._steps, _LANES, (len(self._steps) - 1,))
        plan = plan_map(shape, 1, (0,) * _LANES, (0,), moves.chip)
        mesh = None if plan is None else assign_alus(plan, moves.chip)
        assert plan is not None  # noqa: S101  15 ALUs of 16
        assert mesh is not None  # noqa: S101  nothing waits in a register
        self._plans = plan, mesh

    def run(self, destination: str) -> _Flow:
        """What the last ALU drives at the VXM, towards the slice `destination`."""
        builder, timing = self._builder, self._moves.chip.timing("Rotate")
        come, count = self._source.sampled.cycle, self._source.sampled.count
        if come > 0:  # A Permute's result is taken where it is driven.
            builder.pass_on((self._source.transport, 0), self._source.sampled, self._sxm)
        turned = builder.open(builder.towards(self._sxm, VXM), _LANES)
        source = self._source.transport
        rotated = Series(come - timing.skew, count)
        builder.issue(f"{self._sxm}_ROTATE", rotated, lambda at: Rotate(_SIDE, at[source], at[turned]))
        driven = rotated.cycle + timing.func
        for stream in range(_LANES):
            builder.pass_on((turned, stream), Series(driven, count), self._sxm, VXM)
        begin = driven + self._moves.places.distance(self._sxm, VXM) - (self._plans[0].arrivals[0] or 0)
        return self._compute(turned, begin, count + 1, destination)

    def _compute(self, turned: int, begin: int, rows: int, destination: str) -> _Flow:
        alus = AluIssues(self._builder, self._steps, self._plans, rows, begin=begin)
        alus.operands = {stream: (turned, stream) for stream in range(_LANES)}
        last = len(self._steps) - 1
        transport = alus.stream_out(last, self._builder.towards(VXM, destination))
        alus.finish()
        return _Flow(transport, alus.series(self._plans[0].nodes[last].available))
