"""The verifier of a schedule: one chip is written out, every layer of it, and checked without data.

The checker knows nothing of templates. Windows of the network are left out here, and what they bring is taken to be
there; `window_check` verifies them, chip by chip.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lpu_backend.checker import list_hazards
from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.emission import Placed, write_queues
from lpu_backend.compiler.sram import list_plane_slices
from lpu_backend.compiler.vector_program import AllGather, Tiles, Value
from lpu_backend.hazards import Hazard
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Program, Region


def check_chip(placed: Sequence[Placed], chip: ChipSpec) -> list[Hazard]:
    """Hazards of one chip that runs these templates in turn; empty if there are none."""
    alone = [replace(each, template=replace(each.template, windows=())) for each in placed]
    regions = {region.name: region for each in alone for region in _list_regions(each, chip)}
    queues = write_queues(alone, 0, chip, is_aligned=False)
    roomy = replace(chip, queue_instructions=max(chip.queue_instructions, *(len(queue) for queue in queues.values())))
    return list_hazards(Program("one chip", (queues,), tuple(regions.values())), roomy)


def _list_regions(placed: Placed, chip: ChipSpec) -> Iterator[Region]:
    """What is there before the program, or comes from outside: a region each, by kind of layer and layer."""
    template = placed.template
    gathered = {each.destination for each in template.program.operations if isinstance(each, AllGather)}
    for value in template.program.values:
        if value.scope != "step" or value.name in gathered:
            yield _value_region(placed, value, chip)
    for tiles in template.program.tiles:
        yield from _tile_regions(placed, tiles, chip)


def _value_region(placed: Placed, value: Value, chip: ChipSpec) -> Region:
    place = placed.template.placement.values[value.name]
    address = place.address + _further(placed, value.scope, place.slices[0])
    return Region(_name(placed, value), "input", value.dtype, value.rows, chip.lanes, place.slices, address)


def _tile_regions(placed: Placed, tiles: Tiles, chip: ChipSpec) -> Iterator[Region]:
    """All tiles of a plane as one region, since they lie one after another."""
    place = placed.template.placement.tiles[tiles.name]
    for number, (plane, address) in enumerate(zip(place.planes, place.addresses, strict=True)):
        deep = len(range(number, tiles.outputs, len(place.planes))) * tiles.inputs
        slices = list_plane_slices(chip, plane)
        begin = address + _further(placed, tiles.scope, slices[0])
        name = f"{_name(placed, tiles)} {plane}"
        yield Region(name, "input", DataType.INT8, deep * tiles.rows, chip.lanes, slices, begin)


def _further(placed: Placed, scope: str, slice_name: str) -> int:
    return placed.ordinal * placed.template.placement.layer_stride.get(slice_name, 0) if scope == "layer" else 0


def _name(placed: Placed, thing: Value | Tiles) -> str:
    if thing.scope == "model":
        return f"model {thing.name} {getattr(thing, 'rows', 0)}"
    return f"{placed.template.program.name} {placed.ordinal} {thing.name}"
