"""The lines that show what each pass gave."""

from collections.abc import Iterator
from itertools import pairwise

from lpu_backend.compiler.compilation import Compilation
from lpu_backend.compiler.occupation import count_unit_cycles
from lpu_backend.compiler.sram import list_plane_slices, list_planes


def list_parts(done: Compilation) -> Iterator[str]:
    """Every operation of every part's decode step."""
    for part in done.parts:
        program = part.decode.program
        yield f"{part.name} on {program.chips} chip(s), a decode step: {len(program.operations)} operations"
        yield from (f"  {type(operation).__name__:<13} {operation.name}" for operation in program.operations)


def list_matrix_forms(done: Compilation) -> Iterator[str]:
    """Every matrix."""
    for name, forms in done.matrices.items():
        yield name
        yield from (f"  {form.describe()}" for form in forms)


def list_stages(done: Compilation) -> Iterator[str]:
    """Chips, layers and bytes of every stage."""
    partition = done.partition
    yield f"{partition.chips:,} chips, {done.minimum_chips:,} at least; {partition.tensor_parallel} hold a layer"
    for stage in partition.stages:
        held = [f"layers {stage.first_layer} to {stage.layer_range[-1]}"] if stage.layers else []
        held += ["head"] if stage.has_head else []
        memory = stage.memory
        yield (
            f"  chips {stage.group.first_chip} to {stage.group.after - 1}: {', '.join(held)}; a chip holds "
            f"{memory.weights_bytes:,} B of weights, {memory.kv_cache_bytes:,} B of cache, "
            f"{memory.vectors_bytes:,} B of vectors"
        )


def list_places(done: Compilation) -> Iterator[str]:
    """Where every value and tile of a decode step lies."""
    chip = done.request.chip
    for name, placed in done.placements.items():
        placement = placed.decode
        strides = [placement.layer_stride.get(list_plane_slices(chip, plane)[0], 0) for plane in list_planes(chip)]
        yield f"{name}: a layer takes {', '.join(map(str, strides))} addresses of the slices of the planes"
        for tiles, where in placement.tiles.items():
            lies = (f"{plane} from {address}" for plane, address in zip(where.planes, where.addresses, strict=True))
            yield f"  tiles {tiles}: {', '.join(lies)}"
        for value, place in placement.values.items():
            yield f"  value {value}: {' '.join(place.slices)} from {place.address}"


def list_templates(done: Compilation) -> Iterator[str]:
    """Cycles of every template, by unit, and its instructions before and after sharing."""
    chip = done.request.chip
    for each in done.scheduled:
        for kind, template in (("decode", each.decode), ("prefill", each.prefill)):
            units = count_unit_cycles(template, chip).items()
            shared = len(template.runs)
            written_out = sum(1 + run.count for run in template.runs) * each.shape.chips * max(1, len(each.layers))
            yield (
                f"{each.name}, {kind}: {template.cycles:,} cycles ("
                f"{', '.join(f'{unit} {cycles:,}' for unit, cycles in units)}), {written_out:,} instructions on all "
                f"chips and layers, {shared:,} shared"
            )


def list_hand_overs(done: Compilation) -> Iterator[str]:
    """Cycles from stage to stage."""
    for (source, target), cycles in zip(pairwise(done.partition.stages), done.hand_overs.decode, strict=True):
        yield f"chips from {source.group.first_chip} to chips from {target.group.first_chip}: {cycles:,} cycles a token"
