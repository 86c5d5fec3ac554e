"""The schedule pass for a model on many groups: a template for each kind of layers and each way that a group lies.

Groups within a node are all alike. A larger one lies over several nodes, and what cables it has between them depends
on where in a node it begins.
"""

from collections.abc import Iterator

from lpu_backend.compiler.compilation import Compilation, Part, ScheduledPart
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.scheduling import schedule_program
from lpu_backend.compiler.template import Template


def schedule_stages(done: Compilation) -> Iterator[ScheduledPart]:
    """The templates of all parts. CompileError."""
    for part in done.parts:
        shapes = _list_shapes(done, part)
        decode = {shape: _schedule(done, part, shape, "decode") for shape in shapes}
        slowest = max(shapes, key=lambda shape: decode[shape].cycles)
        prefill = decode[slowest] if part.prefill is part.decode else _schedule(done, part, slowest, "prefill")
        for shape, layers in shapes.items():
            yield ScheduledPart(part, shape, layers, decode[shape], prefill)


def _list_shapes(done: Compilation, part: Part) -> dict[GroupShape, tuple[int, ...]]:
    """The layers of a part by how their groups lie."""
    chip, stages = done.request.chip, done.partition.stages
    if not part.layers:
        return {done.shape_of(stages[-1]).canonical(chip): ()}
    shapes: dict[GroupShape, tuple[int, ...]] = {}
    for stage in done.layer_stages:
        held = tuple(layer for layer in part.layers if layer in stage.layer_range)
        if held:
            shape = done.shape_of(stage).canonical(chip)
            shapes[shape] = (*shapes.get(shape, ()), *held)
    return shapes


def _schedule(done: Compilation, part: Part, shape: GroupShape, kind: str) -> Template:
    placed = done.placements[part.name]
    if kind == "decode":
        return schedule_program(part.decode.program, placed.decode, shape, done.request.chip)
    return schedule_program(part.prefill.program, placed.prefill, shape, done.request.chip)
