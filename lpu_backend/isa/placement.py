"""Where tensors and instructions may lie in SRAM: the rules for a region, and which addresses are taken."""

from collections.abc import Iterator

from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.isa.program import Region, Text


def list_spans(region: Region) -> Iterator[tuple[str, range]]:
    """(slice, addresses) of what `region.places` lists one by one; a step of 0 counts as 1 (see find_region_fault)."""
    ways = max(1, len(region.slices) // region.dtype.streams)
    step = region.step or 1
    for place, slice_name in enumerate(region.slices):
        vectors = max(0, -(-(region.rows - place % ways) // ways))
        yield slice_name, range(region.address, region.address + vectors * step, step)


def find_region_fault(region: Region, chip: ChipSpec) -> str | None:
    """Why a region cannot be where and what it says, looked at alone; None if it can."""
    width, slices = region.dtype.streams, len(region.slices)
    if region.rows < 1 or not 1 <= region.lanes <= chip.lanes:
        return f"{region.name} has {region.rows} rows of {region.lanes} lanes, not at least 1 of 1 to {chip.lanes}"
    if not slices or slices % width:
        return f"{region.name} has {slices} slices, not a multiple of the {width} bytes of {region.dtype.value}"
    if region.step == 0 and region.rows > slices // width:
        return f"{region.name} has step 0, so its rows overlap"
    data_bytes = region.rows * region.lanes * width if region.kind == "constant" else 0
    if len(region.data) != data_bytes:
        return f"{region.name} has {len(region.data)} bytes of data, not {data_bytes}"
    return next((fault for place in list_spans(region) if (fault := _find_span_fault(region.name, *place, chip))), None)


def _find_span_fault(name: str, slice_name: str, addresses: range, chip: ChipSpec) -> str | None:
    if not slice_name.startswith("MEM_") or slice_name not in plan_floor(chip).positions:
        return f"{name} is in {slice_name}, which is no MEM slice"
    for address in (addresses[0], addresses[-1]) if addresses else ():
        if not 0 <= address < chip.mem_addresses:
            return f"{name} takes address {address:#x} of {slice_name}, which ends at {chip.mem_addresses - 1:#x}"
    return None


class Placement:
    """What regions and texts have taken of every chip's SRAM."""

    def __init__(self, chip: ChipSpec) -> None:
        self._chip = chip
        self._names: set[str] = set()
        self._taken: dict[tuple[int, str], list[tuple[str, range]]] = {}

    def add_region(self, region: Region) -> str | None:
        """Take a region's addresses. What is wrong with it, or with it beside the others; None if nothing."""
        return find_region_fault(region, self._chip) or self._add(region.name, region.chip, list(list_spans(region)))

    def add_text(self, text: Text) -> str | None:
        """Take the addresses of a text, a vector for each `tiles` instructions. What is wrong with it, or None."""
        vectors = -(-len(text.instructions) // self._chip.tiles)
        addresses = range(text.address, text.address + vectors)
        fault = _find_span_fault(text.name, text.slice_name, addresses, self._chip)
        return fault or self._add(text.name, text.chip, [(text.slice_name, addresses)])

    def _add(self, name: str, chip: int, spans: list[tuple[str, range]]) -> str | None:
        if name in self._names:
            return f"{name} is already the name of another region or text"
        self._names.add(name)
        for slice_name, addresses in spans:
            taken = self._taken.setdefault((chip, slice_name), [])
            for other, others in taken:
                if _overlap(addresses, others):
                    return f"{name} overlaps {other} in {slice_name}"
            taken.append((name, addresses))
        return None


def _overlap(one: range, other: range) -> bool:
    if not one or not other:
        return False
    (low, high), (other_low, other_high) = sorted((one[0], one[-1])), sorted((other[0], other[-1]))
    return low <= other_high and other_low <= high and not set(one).isdisjoint(other)
