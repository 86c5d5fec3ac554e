"""The MXM: products of full weights with a new vector in every cycle, and how fast the weights come in.

All planes work at once, two on each side. Weights come from the slices next to them, 16 rows a cycle and plane; the
vectors and the results have slices of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.isa.instructions import Accumulate, ActivationBuffer, InstallWeights, LoadWeights, Read, Write
from lpu_backend.isa.operands import DataType, Direction, Stream
from lpu_backend.isa.program import Region
from lpu_backend.validation.recording import Case, MeasurementError, Recording, Tensors, count_steadily
from lpu_backend.validation.schedule import Schedule

_VECTORS = 24
_RESULT_STREAMS = 4
_SIDES: tuple[Direction, Direction] = ("W", "E")


class MatrixRates(NamedTuple):
    """Products a cycle over all planes, and weights as they came in: all of them, and the cycles of their LWs."""

    macs_per_cycle: float
    weights: int
    weight_bytes: int
    load_cycles: int


@dataclass
class _Layout:
    """Where a product's tensors are, and when its weights are all there."""

    chip: ChipSpec
    dtype: DataType
    has_all_streams: bool
    schedule: Schedule
    regions: list[Region] = field(default_factory=list)

    @property
    def planes(self) -> int:
        """Products a side: fp16 takes both planes for one."""
        return 1 if self.dtype is DataType.FP16 else 2

    @property
    def load_cycles(self) -> int:
        """LWs that fill one plane."""
        return self.chip.lanes // self.chip.mxm_load_streams

    @property
    def first_vector_cycle(self) -> int:
        """The dispatch of the first ABC: an LW's rows can be installed two cycles after it."""
        loads = 1 if self.has_all_streams else 2
        return loads * self.load_cycles + 1

    def slices(self, side: Direction, first: int, count: int) -> tuple[str, ...]:
        return tuple(f"MEM_{side}{place}" for place in range(first, first + count))


def build_products(chip: ChipSpec, dtype: DataType, *, has_all_streams: bool) -> Case:
    """Load weights into every plane, and multiply vectors by them.

    With `has_all_streams` both planes of a side take 16 streams each at once; else they take the same 16 in turn.
    MeasurementError where there are too few slices.
    """
    layout = _Layout(chip, dtype, has_all_streams, Schedule(chip))
    if chip.slices_each_side < 2 * chip.mxm_load_streams + 2 + 2 * _RESULT_STREAMS:
        raise MeasurementError("there are not enough slices for the weights, vectors and results of a side")
    for side in _SIDES:
        _place_loads(layout, side)
        for plane in range(layout.planes):
            _place_products(layout, side, plane)
    program = layout.schedule.build(f"{dtype.value} products on every plane", layout.regions)
    return Case(program, dict(_draw_inputs(layout)), lambda inputs: dict(_multiply(layout, inputs)))


def measure_matrix(chip: ChipSpec, dtype: DataType, *, has_all_streams: bool) -> MatrixRates:
    """Products by the ABCs, each of all weights of its array; the load by the LWs. HazardError, MeasurementError."""
    case = build_products(chip, dtype, has_all_streams=has_all_streams)
    recording = Recording(case, chip)
    steady, cycles = count_steadily(recording.select(ActivationBuffer))
    loads = [dispatch.cycle for dispatch in recording.select(LoadWeights)]
    weights = [array for name, array in case.inputs.items() if name.startswith("w")]
    return MatrixRates(
        macs_per_cycle=len(steady) * weights[0].size / cycles,
        weights=sum(array.size for array in weights),
        weight_bytes=sum(array.nbytes for array in weights),
        load_cycles=max(loads) - min(loads) + 1,
    )


def _place_loads(layout: _Layout, side: Direction) -> None:
    """LW and IW of both planes, and the Reads that feed them."""
    chip, schedule, width = layout.chip, layout.schedule, layout.chip.mxm_load_streams
    for plane in range(2):
        name = f"MXM_{side}{plane}"
        # In turn, the outer plane is first: it is a position further, and its slices read for it a cycle earlier.
        first_cycle = 0 if layout.has_all_streams else (1 - plane) * layout.load_cycles
        first_stream = plane * width if layout.has_all_streams else 0
        address = 0 if layout.has_all_streams else plane * layout.load_cycles
        load = LoadWeights(Stream(side, first_stream), 0, width)
        schedule.place(f"{name}_WEIGHTS", first_cycle, load, count=layout.load_cycles)
        schedule.place(f"{name}_WEIGHTS", layout.first_vector_cycle, InstallWeights(chip.lanes))
        slices = _list_weight_slices(layout, side, plane)
        for place, slice_name in enumerate(slices):
            cycle = schedule.read_for(slice_name, name, first_cycle + chip.timing("LW").skew)
            read = Read(address, Stream(side, first_stream + place), 1)
            schedule.place(slice_name, cycle, read, count=layout.load_cycles)
        if layout.dtype is DataType.INT8:
            layout.regions.append(
                _region(layout, f"w{side}{plane}", "input", DataType.INT8, slices, address, chip.lanes)
            )
    if layout.dtype is DataType.FP16:
        both = _list_weight_slices(layout, side, 0) + _list_weight_slices(layout, side, 1)
        layout.regions.append(_region(layout, f"w{side}0", "input", DataType.FP16, both, 0, chip.lanes))


def _list_weight_slices(layout: _Layout, side: Direction, plane: int) -> tuple[str, ...]:
    width = layout.chip.mxm_load_streams
    first = layout.chip.slices_each_side - 2 * width
    return layout.slices(side, first + (plane * width if layout.has_all_streams else width), width)


def _place_products(layout: _Layout, side: Direction, plane: int) -> None:
    """ABC and ACC in step, the Reads of the vectors, and the Writes of the results."""
    chip, schedule, name, dtype = layout.chip, layout.schedule, f"MXM_{side}{plane}", layout.dtype
    timing = chip.timing(f"ABC.{dtype.value}")
    place = partial(schedule.place, count=_VECTORS, distance=timing.interval)
    cycle, width = layout.first_vector_cycle, dtype.streams
    place(f"{name}_ABC", cycle, ActivationBuffer(dtype, Stream(side, plane * width)))
    first_slice = chip.slices_each_side - 2 * chip.mxm_load_streams - 2
    slices = layout.slices(side, first_slice + plane, width)
    for byte, slice_name in enumerate(slices):
        read_cycle = schedule.read_for(slice_name, name, cycle + timing.skew)
        place(slice_name, read_cycle, Read(0, Stream(side, plane * width + byte), 1))
    layout.regions.append(_region(layout, f"x{side}{plane}", "input", dtype, slices, 0, _VECTORS))

    inward: Direction = "E" if side == "W" else "W"
    first_stream = plane * _RESULT_STREAMS
    place(f"{name}_ACC", cycle + timing.func, Accumulate("new", 0, Stream(inward, first_stream)))
    driven_cycle = cycle + timing.func + chip.timing("ACC").func
    slices = layout.slices(side, first_stream, _RESULT_STREAMS)
    for byte, slice_name in enumerate(slices):
        written_cycle = driven_cycle + schedule.hops(name, slice_name)
        place(slice_name, written_cycle, Write(0, Stream(inward, first_stream + byte), 1))
    result = DataType.FP32 if dtype is DataType.FP16 else DataType.INT32
    layout.regions.append(_region(layout, f"y{side}{plane}", "output", result, slices, 0, _VECTORS))


def _region(
    layout: _Layout, name: str, kind: Any, dtype: DataType, slices: tuple[str, ...], address: int, rows: int
) -> Region:
    return Region(name, kind, dtype, rows, layout.chip.lanes, slices, address)


def _draw_inputs(layout: _Layout) -> Iterator[tuple[str, NDArray[Any]]]:
    """Random tensors; those of fp16 are small integers, so that every order of summation gives the same fp32."""
    random = np.random.default_rng(0)
    for region in layout.regions:
        if region.kind == "input":
            bound = 128 if layout.dtype is DataType.INT8 else 8
            values = random.integers(-bound, bound, (region.rows, region.lanes))
            yield region.name, values.astype(region.dtype.numpy)


def _multiply(layout: _Layout, inputs: Tensors) -> Iterator[tuple[str, NDArray[Any]]]:
    for region in layout.regions:
        if region.kind == "output":
            x, w = inputs[region.name.replace("y", "x")], inputs[region.name.replace("y", "w")]
            yield region.name, (x.astype(np.float64) @ w.T.astype(np.float64)).astype(region.dtype.numpy)
