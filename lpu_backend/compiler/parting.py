"""The parts of a model for groups of given sizes: each kind of layers once, and the head, in both kinds of step."""

from lpu_backend.compiler.compilation import CompileRequest, Part
from lpu_backend.compiler.costing import make_step
from lpu_backend.compiler.model_lowering import ModelLowering


def lower_parts(request: CompileRequest, *, layer_chips: int, head_chips: int) -> tuple[Part, ...]:
    """The programs of a decode step at the request's position, and of a prefill step."""
    layers = _lowering(request, layer_chips)
    steps = [(request.position, 1), (request.prefill_position, request.prefill_tokens)]
    decode, prefill = (make_step(layers, *step, request.context_tokens) for step in steps)
    parts = [
        Part(
            f"layers {_describe(kind.layers)}",
            kind.layers,
            kind.nodes,
            layers.lower_layer(kind, decode),
            layers.lower_layer(kind, prefill),
        )
        for kind in layers.kinds
    ]
    # Only the last token's logits are asked for, so that both steps have the same head.
    head = _lowering(request, head_chips).lower_head(decode)
    return (*parts, Part("head", (), request.graph.head, head, head))


def _lowering(request: CompileRequest, chips: int) -> ModelLowering:
    return ModelLowering(request.graph, chips=chips, chip=request.chip)


def _describe(layers: tuple[int, ...]) -> str:
    """Runs of equally spaced layers: "0 to 79", "0 to 78 by 2"."""
    if len(layers) < 3:
        return ", ".join(map(str, layers))
    step = layers[1] - layers[0]
    if layers != tuple(range(layers[0], layers[-1] + 1, step)):
        return f"{layers[0]} and {len(layers) - 1} more"
    return f"{layers[0]} to {layers[-1]}" + ("" if step == 1 else f" by {step}")
