"""From a graph to a compiled program, by the passes."""

from collections.abc import Sequence
from dataclasses import replace

from lpu_backend.chip import OPERATION_TIMINGS, ChipSpec, list_figures
from lpu_backend.compiler.calibration import LAYER_OVERHEAD_CYCLES
from lpu_backend.compiler.compilation import Compilation, CompileRequest, ScheduledPart
from lpu_backend.compiler.compiled_program import (
    CompiledModel,
    CompiledPart,
    CompiledProgram,
    CompiledStage,
    ScheduledStep,
    UnitCycles,
    digest,
)
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.occupation import count_unit_cycles
from lpu_backend.compiler.partition import Stage
from lpu_backend.compiler.passes import Show, run_passes
from lpu_backend.compiler.template import Run, Template
from lpu_backend.graph.nodes import ModelGraph


def compile_model(request: CompileRequest, show: Show | None = None) -> CompiledProgram:
    """Place and time a model. CompileError, if it cannot run on these chips; `show` gets what each pass gave."""
    window, context = request.graph.context_window, request.context_tokens
    if not 0 < context <= window:
        raise CompileError(f"a context of {context:,} tokens: the model has 1 to {window:,}")
    request = replace(
        request,
        position=min(request.position, context - 1),
        prefill_tokens=min(request.prefill_tokens, context),
    )
    return _collect(run_passes(Compilation(request), show))


def _collect(done: Compilation) -> CompiledProgram:
    request, partition, hand_overs = done.request, done.partition, done.hand_overs
    return CompiledProgram(
        model=describe_model(request.graph, request.context_tokens),
        chip=request.chip.name,
        chip_digest=digest_chip(request.chip),
        chips=partition.chips,
        minimum_chips=done.minimum_chips,
        tensor_parallel=partition.tensor_parallel,
        stages=tuple(map(_describe_stage, partition.stages)),
        caches=partition.caches,
        parts=tuple(_describe_part(each, request) for each in done.scheduled),
        hand_over_cycles=hand_overs.decode,
        prefill_hand_over_cycles=hand_overs.prefill,
        mode=request.mode,
        layer_overhead_cycles=LAYER_OVERHEAD_CYCLES if request.mode == "calibrated" else 0,
    )


def describe_model(graph: ModelGraph, context_tokens: int) -> CompiledModel:
    """Its shape, and a digest of its graph."""
    layers = [[(type(node).__name__, node) for node in layer] for layer in (*graph.layers, graph.head)]
    return CompiledModel(
        family=graph.family,
        layers=len(graph.layers),
        hidden=graph.hidden,
        vocabulary=graph.vocabulary,
        context_tokens=context_tokens,
        graph_digest=digest([graph.embed, layers, graph.rope, graph.context_window]),
    )


def digest_chip(chip: ChipSpec) -> str:
    """Of every figure of a chip, and of the timing of every operation."""
    figures = [(figure.name, figure.value) for figure in list_figures(chip)]
    return digest([figures, sorted(OPERATION_TIMINGS.items())])


def _describe_stage(stage: Stage) -> CompiledStage:
    return CompiledStage(
        first_layer=stage.first_layer,
        layers=stage.layers,
        first_chip=stage.group.first_chip,
        chips=stage.group.chips,
        has_head=stage.has_head,
        weights_bytes=stage.memory.weights_bytes,
        kv_cache_bytes=stage.memory.kv_cache_bytes,
        vectors_bytes=stage.memory.vectors_bytes,
        free_bytes=stage.memory.free_bytes,
    )


def _describe_part(each: ScheduledPart, request: CompileRequest) -> CompiledPart:
    decode = _describe_step(each.decode, 1, request.position, request.chip)
    if each.prefill is each.decode:
        return CompiledPart(each.name, each.layers, each.shape.chips, decode, decode)
    prefill = _describe_step(each.prefill, request.prefill_tokens, 0, request.chip)
    return CompiledPart(each.name, each.layers, each.shape.chips, decode, prefill)


def _describe_step(template: Template, tokens: int, position: int, chip: ChipSpec) -> ScheduledStep:
    return ScheduledStep(
        tokens=tokens,
        position=position,
        cycles=template.cycles,
        units=UnitCycles(**count_unit_cycles(template, chip)),
        instructions=len(template.runs),
        chip_instructions=sum(1 + run.count for run in template.runs),
        digest=_digest_runs(template.runs),
    )


def _digest_runs(runs: Sequence[Run]) -> str:
    return digest([(type(run.instruction).__name__, run) for run in runs])
