"""Whether places are apart: addresses of what lasts, slice by slice, for every layer that a chip holds."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.sram import list_plane_slices
from lpu_backend.compiler.template import Placement
from lpu_backend.compiler.vector_program import Scope, VectorProgram
from lpu_backend.compiler.verifying import VerificationError


class _Span(NamedTuple):
    """Addresses of one slice."""

    begin: int
    end: int
    name: str
    scope: Scope


def verify_placement(program: VectorProgram, placement: Placement, layers: int, chip: ChipSpec) -> None:
    """VerificationError if two things that last share an address, or one lies past its slice's end in any layer."""
    spans: defaultdict[str, list[_Span]] = defaultdict(list)
    for slice_name, span in _list_spans(program, placement, chip):
        spans[slice_name].append(span)
    for slice_name, held in spans.items():
        stride = placement.layer_stride.get(slice_name, 0)
        lasting = sorted(span for span in held if span.scope != "step")
        for one, other in pairwise(lasting):
            if other.begin < one.end:
                raise VerificationError(f"{one.name} and {other.name} share an address of {slice_name}")
        layer = [span for span in lasting if span.scope == "layer"]
        if layer and layer[-1].end - layer[0].begin > stride:
            raise VerificationError(f"layers overlap in {slice_name}: {stride} addresses are too few for one")
        for span in held:
            further = (layers - 1) * stride if span.scope == "layer" else 0
            if span.begin < 0 or span.end + further > chip.mem_addresses:
                raise VerificationError(f"{span.name} lies past the end of {slice_name}")


def _list_spans(program: VectorProgram, placement: Placement, chip: ChipSpec) -> Iterator[tuple[str, _Span]]:
    for value in program.values:
        place = placement.values[value.name]
        end = place.address + -(-value.rows // value.spread)
        for slice_name in place.slices:
            yield slice_name, _Span(place.address, end, value.name, value.scope)
    for tiles in program.tiles:
        where = placement.tiles[tiles.name]
        for number, (plane, address) in enumerate(zip(where.planes, where.addresses, strict=True)):
            deep = len(range(number, tiles.outputs, len(where.planes)))
            end = address + deep * tiles.inputs * -(-tiles.rows // chip.mxm_load_streams)
            for slice_name in list_plane_slices(chip, plane):
                yield slice_name, _Span(address, end, tiles.name, tiles.scope)
