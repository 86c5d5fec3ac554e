"""`compile CONFIG`: a model from its config.json alone onto chips: what they hold, and how fast they are."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.commands.command import Command, format_table, write_line
from lpu_backend.compiler.calibration import FITTED_TO
from lpu_backend.compiler.compilation import DEFAULT_CONTEXT_TOKENS, CompileRequest
from lpu_backend.compiler.compile_model import compile_model
from lpu_backend.compiler.compiled_program import CompiledProgram, CompiledStage, Mode, save_program
from lpu_backend.compiler.economics import Prices, find_economy
from lpu_backend.compiler.passes import PASS_NAMES, Show
from lpu_backend.compiler.step_time import count_step_cycles, find_rates, sum_units
from lpu_backend.graph.configs import load_config
from lpu_backend.graph.families import make_graph

_PRICES = Prices()
_MS = 1e3


def add_model(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a model and how it is compiled, without the number of chips."""
    parser.add_argument("config", metavar="CONFIG", help="a config.json, its folder, or a name such as llama-2-70b")
    parser.add_argument(
        "--context", type=_read_count, metavar="N", help="tokens that the cache holds (4096 at most if left out)"
    )
    parser.add_argument("--mode", choices=("ideal", "calibrated"), default="ideal", help="of the timing")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--chips", type=_read_count, metavar="N", help="how many; the fewest if left out")
    parser.add_argument("--print-after", choices=(*PASS_NAMES, "all"), metavar="PASS", help="show what a pass gave")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="save the program")


def _read_count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(f"{text} is below 1")
    return count


def make_request(options: argparse.Namespace, chips: int | None) -> CompileRequest:
    """From `add_model`'s options. CheckpointError."""
    graph = make_graph(load_config(options.config))
    context = options.context or min(DEFAULT_CONTEXT_TOKENS, graph.context_window)
    mode: Mode = options.mode
    return CompileRequest(graph, chips, context_tokens=context, mode=mode)


def _compile(options: argparse.Namespace) -> int:
    request = make_request(options, options.chips)
    show = _show_after(options.print_after) if options.print_after else None
    program = compile_model(request, show)
    if options.out is not None:
        save_program(program, options.out)
    if options.json:
        write_line(json.dumps(collect(program, request.chip), indent=1))
    else:
        for line in describe(options.config, program, request.chip):
            write_line(line)
    return 0


def _show_after(wanted: str) -> Show:
    def show(name: str, lines: Iterable[str]) -> None:
        if wanted in (name, "all"):
            write_line(f"-- after {name}")
            for line in lines:
                write_line(line)

    return show


def collect(program: CompiledProgram, chip: ChipSpec = GROQCHIP1) -> dict[str, Any]:
    """Every figure. `bytes_per_chip` is what the fullest chip holds; `tokens_per_watt` tokens a second for each."""
    rates = find_rates(program, chip.clock_hz)
    economy = find_economy(rates, program.chips, chip, _PRICES)
    fullest = _find_fullest(program)
    cycles, prefill_cycles = count_step_cycles(program), count_step_cycles(program, "prefill")
    layer_parts = [part for part in program.parts if not part.is_head]
    return {
        "chips": program.chips,
        "minimum_chips": program.minimum_chips,
        "bytes_per_chip": fullest.used_bytes,
        "tokens_per_second_per_user": rates.tokens_per_second_per_user,
        "tokens_per_dollar": economy.tokens_per_dollar,
        "tokens_per_watt": economy.tokens_per_watt,
        "mode": program.mode,
        "family": program.model.family,
        "layers": program.model.layers,
        "context_tokens": program.model.context_tokens,
        "used_chips": program.used_chips,
        "tensor_parallel": program.tensor_parallel,
        "stages": len(program.stages),
        "bytes_per_chip_by_purpose": _list_purposes(fullest, chip),
        "users": rates.users,
        "tokens_per_second": rates.tokens_per_second,
        "decode_position": layer_parts[0].decode.position,
        "decode_cycles": cycles,
        "decode_ms": cycles / chip.clock_hz * _MS,
        "prefill_tokens": layer_parts[0].prefill.tokens,
        "prefill_cycles": prefill_cycles,
        "prefill_ms": prefill_cycles / chip.clock_hz * _MS,
        "unit_cycles": sum_units(program).as_dict(),
        "layer_overhead_cycles": program.layer_overhead_cycles,
        "calibrated_to": FITTED_TO if program.mode == "calibrated" else None,
        "instructions_unshared": program.unshared_instructions,
        "instructions": program.instructions,
        "assumptions": [_PRICES.describe(chip), *_ASSUMED],
        "content_hash": program.content_hash,
    }


_ASSUMED = (
    "the host looks up embeddings and chooses tokens in no time; the table is not on the chips",
    "one cache a user; users at once are bounded by the stages and by the caches that fit",
)


def _find_fullest(program: CompiledProgram) -> CompiledStage:
    return max(program.stages, key=lambda stage: stage.used_bytes)


def _list_purposes(stage: CompiledStage, chip: ChipSpec) -> dict[str, int]:
    return {
        "weights": stage.weights_bytes,
        "kv_cache": stage.kv_cache_bytes,
        "vectors": stage.vectors_bytes,
        "free": stage.free_bytes,
        "capacity": chip.sram_bytes,
    }


def describe(name: str, program: CompiledProgram, chip: ChipSpec) -> Iterator[str]:
    """The same for people."""
    figures = collect(program, chip)
    yield (
        f"{name}: {figures['family']}, {figures['layers']} layers, a cache of {figures['context_tokens']:,} tokens; "
        f"{program.mode} schedule"
    )
    yield (
        f"{program.chips:,} chips, {program.minimum_chips:,} at least; {program.used_chips:,} hold something: "
        f"{len(program.stages)} stages, {program.tensor_parallel} chips to a layer"
    )
    yield ""
    yield from _tabulate_memory(program)
    yield ""
    yield from _list_times(figures)
    yield (
        f"{figures['tokens_per_dollar']:,.0f} tokens per dollar, {figures['tokens_per_watt']:.4g} tokens a second per "
        f"watt, with {figures['users']} user(s) at once: {figures['tokens_per_second']:,.1f} tokens/s"
    )
    yield from figures["assumptions"]
    yield (
        f"{figures['instructions_unshared']:,} instructions on all chips and layers, "
        f"{figures['instructions']:,} in the shared templates"
    )
    yield f"hash {program.content_hash}"


def _tabulate_memory(program: CompiledProgram) -> Iterator[str]:
    """A line for each run of stages that hold the same."""
    rows: list[tuple[str, ...]] = []
    for stages in _group_alike(program.stages):
        first, last = stages[0], stages[-1]
        layers = f"layers {first.first_layer} to {last.first_layer + last.layers - 1}" if first.layers else ""
        held = " and ".join(filter(None, (layers, "head" if last.has_head else "")))
        each = f"{len(stages)} x {first.chips}"
        sizes = (first.weights_bytes, first.kv_cache_bytes, first.vectors_bytes, first.free_bytes)
        rows.append((held, each, *(f"{size:,}" for size in sizes)))
    head = ("bytes on each chip", "chips", "weights", "KV cache", "vectors", "free")
    yield from format_table(head, rows, right=range(1, len(head)))


def _group_alike(stages: Iterable[CompiledStage]) -> Iterator[list[CompiledStage]]:
    group: list[CompiledStage] = []
    for stage in stages:
        if group and _content(stage) != _content(group[-1]):
            yield group
            group = []
        group.append(stage)
    yield group


def _content(stage: CompiledStage) -> tuple[int, ...]:
    return stage.layers, stage.chips, stage.has_head, stage.weights_bytes, stage.kv_cache_bytes, stage.vectors_bytes


def _list_times(figures: dict[str, Any]) -> Iterator[str]:
    units = figures["unit_cycles"]
    yield (
        f"a token after {figures['decode_position']:,}: {figures['decode_cycles']:,} cycles, "
        f"{figures['decode_ms']:.3f} ms; {figures['tokens_per_second_per_user']:,.1f} tokens/s for each user"
    )
    shares = ", ".join(f"{name} {cycles / figures['decode_cycles']:.0%}" for name, cycles in units.items())
    overhead = figures["layer_overhead_cycles"]
    added = f", {overhead:,} cycles a layer fitted to {FITTED_TO}" if overhead else ""
    yield f"of these {shares}{added}"
    yield (
        f"the first {figures['prefill_tokens']} tokens of a prompt in one step: {figures['prefill_cycles']:,} cycles, "
        f"{figures['prefill_ms']:.3f} ms"
    )


COMMAND = Command("compile", "place and time a model on chips, from its config.json alone", _add_arguments, _compile)
