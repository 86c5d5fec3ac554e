"""The place pass for a model on many groups: every group has the same places, so that templates serve all of them."""

from lpu_backend.compiler.compilation import Compilation, Part, PlacedPart
from lpu_backend.compiler.placing import Part as ChipPart
from lpu_backend.compiler.placing import place_parts


def place_stages(done: Compilation) -> dict[str, PlacedPart]:
    """Places of all parts: of a kind of layers for as many as any stage has. CompileError if that is too much."""
    placed: dict[str, PlacedPart] = {}
    for parts in _list_together(done):
        placed |= _place(parts, done)
    return placed


def _list_together(done: Compilation) -> list[list[Part]]:
    """Parts that any stage has beside one another are placed together; others share no chip."""
    groups: list[list[Part]] = [[part] for part in done.parts]
    for stage in done.partition.stages:
        held = [
            part
            for part in done.parts
            if any(layer in stage.layer_range for layer in part.layers) or (stage.has_head and not part.layers)
        ]
        touched = [group for group in groups if any(part in held for part in group)]
        merged = [part for part in done.parts if any(part in group for group in touched)]
        groups = [group for group in groups if group not in touched] + [merged]
    return groups


def _place(parts: list[Part], done: Compilation) -> dict[str, PlacedPart]:
    held: list[ChipPart] = []
    for part in parts:
        kept = () if part.layers else (part.decode.result,)
        for lowered in (part.decode, part.prefill):
            held.append(ChipPart(lowered.program, part.name, done.count_stage_layers(part), kept))
    placements = iter(place_parts(held, done.request.chip))
    return {part.name: PlacedPart(next(placements), next(placements)) for part in parts}
