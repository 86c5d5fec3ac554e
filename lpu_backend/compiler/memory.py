"""How much of a chip's SRAM the parts of a model take, before anything has an address.

A plane of the MXM is fed by 16 MEM slices next to it, row r of a tile by slice r modulo 16, so its slices have one
address counter: a tile of `rows` rows takes rows / 16 addresses of it. Weight tiles and the cache live there; values
(activations, constants of vectors) in the slices that are left: one address a row and byte.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.vector_program import Scope, Tiles, Value, VectorProgram

SLICES_A_PLANE = 16

Planes = tuple[int, ...]
"""A number for each plane."""


def choose_planes(tiles: Iterable[Tiles], chip: ChipSpec, heights: list[int]) -> dict[str, Planes]:
    """For each Tiles the planes in the order in which its rows of tiles take them, as the place pass does it.

    The largest come first, and the planes that hold the least take the rows that are one more. `heights`, the addresses
    that each plane holds, grow.
    """
    chosen: dict[str, Planes] = {}
    for each in sorted(tiles, key=_count_addresses, reverse=True):
        order = sorted(range(chip.mxm_planes), key=lambda plane: heights[plane])
        chosen[each.name] = tuple(order)
        for plane, addresses in zip(order, _spread(each, chip.mxm_planes), strict=True):
            heights[plane] += addresses
    return chosen


def _count_addresses(tiles: Tiles) -> int:
    return tiles.outputs * tiles.inputs * (tiles.rows // SLICES_A_PLANE)


def _spread(tiles: Tiles, planes: int) -> Planes:
    """Addresses of the planes in their order: the first hold a row of tiles more."""
    row_addresses = tiles.inputs * (tiles.rows // SLICES_A_PLANE)
    return tuple(-(-(tiles.outputs - place) // planes) * row_addresses for place in range(planes))


@dataclass(frozen=True)
class PartMemory:
    """What one chip of a group holds of a part: addresses of each plane, and bytes of values.

    `weights` and `cache` are one layer's; `shared` and `shared_bytes` are there once a chip however many layers it
    has; `step_bytes` are temporary, so that one step needs them at a time (an upper bound: as if all lived at once).
    """

    weights: Planes
    cache: Planes
    shared: Planes
    layer_bytes: int
    shared_bytes: int
    step_bytes: int


def measure_part(program: VectorProgram, chip: ChipSpec) -> PartMemory:
    """The memory of a layer or of the head on each chip of its group."""
    heights = [0] * chip.mxm_planes
    chosen: dict[str, Planes] = {}
    for scope in ("model", "layer"):
        chosen |= choose_planes((each for each in program.tiles if each.scope == scope), chip, heights)

    def take(kind: Literal["constant", "state"], scope: Scope) -> Planes:
        taken = [0] * chip.mxm_planes
        for each in program.tiles:
            if (each.kind, each.scope) == (kind, scope):
                for plane, addresses in zip(chosen[each.name], _spread(each, chip.mxm_planes), strict=True):
                    taken[plane] += addresses
        return tuple(taken)

    def count_bytes(scope: Scope) -> int:
        return sum(_count_bytes(value, chip) for value in program.values if value.scope == scope)

    return PartMemory(
        weights=take("constant", "layer"),
        cache=take("state", "layer"),
        shared=take("constant", "model"),
        layer_bytes=count_bytes("layer"),
        shared_bytes=count_bytes("model"),
        step_bytes=count_bytes("step"),
    )


def _count_bytes(value: Value, chip: ChipSpec) -> int:
    return value.rows * value.dtype.streams * chip.lanes


@dataclass(frozen=True)
class ChipMemory:
    """What one chip holds, in bytes; `plane_addresses` are taken of each plane's slices."""

    weights_bytes: int
    kv_cache_bytes: int
    vectors_bytes: int
    free_bytes: int
    plane_addresses: Planes

    @property
    def used_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.vectors_bytes


def add_parts(parts: Sequence[PartMemory], chip: ChipSpec) -> ChipMemory:
    """One chip with these parts, one user's cache in it."""
    weights, cache = (_sum(part.weights for part in parts), _sum(part.cache for part in parts))
    shared = tuple(max(heights) for heights in zip(*(part.shared for part in parts), strict=True))
    address_bytes = SLICES_A_PLANE * chip.lanes
    vectors_bytes = sum(part.layer_bytes for part in parts)
    vectors_bytes += max(part.shared_bytes for part in parts) + max(part.step_bytes for part in parts)
    weights_bytes, kv_cache_bytes = (sum(weights) + sum(shared)) * address_bytes, sum(cache) * address_bytes
    return ChipMemory(
        weights_bytes=weights_bytes,
        kv_cache_bytes=kv_cache_bytes,
        vectors_bytes=vectors_bytes,
        free_bytes=chip.sram_bytes - weights_bytes - kv_cache_bytes - vectors_bytes,
        plane_addresses=_sum((weights, cache, shared)),
    )


def does_fit(memory: ChipMemory, chip: ChipSpec) -> bool:
    """Whether every plane's slices, and those that are left for values, hold what they must."""
    return max(memory.plane_addresses) <= chip.mem_addresses and memory.vectors_bytes <= count_vector_bytes(chip)


def count_vector_bytes(chip: ChipSpec) -> int:
    """Bytes of the slices that feed no plane."""
    return (chip.mem_slices - SLICES_A_PLANE * chip.mxm_planes) * chip.mem_slice_bytes


def count_users(parts: Sequence[PartMemory], chip: ChipSpec) -> int:
    """How many caches a chip with layers has room for beside the weights: one for each user."""
    memory, cache = add_parts(parts, chip), _sum(part.cache for part in parts)
    free = [chip.mem_addresses - taken for taken in memory.plane_addresses]
    return 1 + min(room // need for room, need in zip(free, cache, strict=True) if need)


def _sum(planes: Iterable[Planes]) -> Planes:
    return tuple(sum(heights) for heights in zip(*planes, strict=True))
