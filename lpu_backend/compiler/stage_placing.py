"""The place pass for a model on many groups: every group has the same places, so that templates serve all of them."""

from lpu_backend.compiler.compilation import Compilation, Part, PlacedPart
from lpu_backend.compiler.placing import Part as ChipPart
from lpu_backend.compiler.placing import place_parts


def place_stages(done: Compilation) -> dict[str, PlacedPart]:
    """Places of all parts: of a kind of layers for as many as any stage has. CompileError if that is too much."""
    *layers, head = done.parts
    if done.partition.stages[-1].layers:
        return _place([*layers, head], done)
    return _place(layers, done) | _place([head], done)


def _place(parts: list[Part], done: Compilation) -> dict[str, PlacedPart]:
    held: list[ChipPart] = []
    for part in parts:
        kept = () if part.layers else (part.decode.result,)
        for lowered in (part.decode, part.prefill):
            held.append(ChipPart(lowered.program, part.name, done.count_stage_layers(part), kept))
    placements = iter(place_parts(held, done.request.chip))
    return {part.name: PlacedPart(next(placements), next(placements)) for part in parts}
