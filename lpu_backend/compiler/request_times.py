"""The cycles of any request to a model that is served: every step that an answer may need, scheduled beforehand.

What is saved beside a model, or in a folder for such files, is found again by a key: of the graph, the chip with all
its timings, the number of chips and this compiler's version.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import msgspec

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.compilation import Compilation, CompileRequest, HandOvers, ScheduledPart
from lpu_backend.compiler.compile_model import describe_model, digest_chip
from lpu_backend.compiler.compiled_program import digest
from lpu_backend.compiler.costing import LoweredCosts
from lpu_backend.compiler.parting import lower_parts
from lpu_backend.compiler.partition import Partition, find_minimum_chips, partition_model
from lpu_backend.compiler.request_steps import StepKey, count_steps, list_step_keys
from lpu_backend.compiler.stage_placing import place_stages
from lpu_backend.compiler.stage_routing import route_stages
from lpu_backend.compiler.stage_scheduling import schedule_stages
from lpu_backend.graph.nodes import ModelGraph

VERSION = 1
"""Of the schedules that this compiler makes: one more whenever any may have other cycles."""
Report = Callable[[int, int], None]
"""Steps that are compiled, of so many."""


class StepTime(msgspec.Struct, frozen=True):
    """A step of `tokens` tokens that sees `blocks` blocks of the cache: its cycles without the head."""

    tokens: int
    blocks: int
    cycles: int


class RequestTimes(msgspec.Struct, frozen=True, dict=True):
    """A model on `chips` chips. `head_cycles` come once a token of the answer."""

    key: str
    chips: int
    lanes: int
    steps: tuple[StepTime, ...]
    head_cycles: int

    @cached_property
    def by_step(self) -> dict[StepKey, int]:
        return {StepKey(step.tokens, step.blocks): step.cycles for step in self.steps}

    def count_cycles(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """Of a request that is alone and finds so many tokens of its prompt cached, not the last; the other counts are
        at least 1."""
        steps = count_steps(self.by_step, prompt_tokens, completion_tokens, self.lanes, cached_tokens)
        return sum(self.by_step[key] * count for key, count in steps.items()) + completion_tokens * self.head_cycles


def divide_model(
    graph: ModelGraph, chips: int | None, context_tokens: int, chip: ChipSpec = GROQCHIP1
) -> tuple[Partition, int]:
    """How a model lies on `chips` chips, or on the fewest, and how many these are. CompileError if they are too few."""
    position = min(CompileRequest(graph).position, context_tokens - 1)
    costs = LoweredCosts(graph, context_tokens=context_tokens, position=position, chip=chip)
    minimum = find_minimum_chips(costs, chip)
    return partition_model(costs, chips or minimum, chip), minimum


def make_key(graph: ModelGraph, chips: int, context_tokens: int, chip: ChipSpec = GROQCHIP1) -> str:
    """What the times of a model are found by."""
    return digest(
        [describe_model(graph, context_tokens).graph_digest, context_tokens, chips, digest_chip(chip), VERSION]
    )


def compile_request_times(
    graph: ModelGraph, chips: int, context_tokens: int, chip: ChipSpec = GROQCHIP1, report: Report | None = None
) -> RequestTimes:
    """Schedule every shape of step. CompileError; `report` is told after each shape."""
    division, minimum = divide_model(graph, chips, context_tokens, chip)
    request = CompileRequest(graph, chips, context_tokens, chip=chip)
    done = Compilation(request, division=division, minimum_chips=minimum)
    keys = list_step_keys(context_tokens, chip.lanes)
    steps: list[StepTime] = []
    head_cycles = 0
    for key, (parts, hand_overs) in zip(keys, (_schedule(done, key) for key in keys), strict=True):
        steps.append(StepTime(key.tokens, key.blocks, _count_cycles(parts, hand_overs, key)))
        head_cycles = next(part.decode.cycles for part in parts if not part.layers)
        if report is not None:
            report(len(steps), len(keys))
    return RequestTimes(make_key(graph, chips, context_tokens, chip), chips, chip.lanes, tuple(steps), head_cycles)


def _schedule(done: Compilation, key: StepKey) -> tuple[tuple[ScheduledPart, ...], HandOvers]:
    """The templates of the last step of that shape, and what lies between stages."""
    request = done.request
    end = min(key.blocks * request.chip.lanes, request.context_tokens)
    request = replace(request, position=end - 1, prefill_position=end - key.tokens, prefill_tokens=key.tokens)
    division = done.partition
    parts = lower_parts(request, layer_chips=division.tensor_parallel, head_chips=division.stages[-1].group.chips)
    if key.tokens == 1:
        parts = tuple(replace(part, prefill=part.decode) for part in parts)
    done = replace(done, request=request, parts=parts)
    done = replace(done, placements=place_stages(done))
    return tuple(schedule_stages(done)), route_stages(done)


def _count_cycles(parts: tuple[ScheduledPart, ...], hand_overs: HandOvers, key: StepKey) -> int:
    """All layers, and the rows from stage to stage."""
    if key.tokens == 1:
        return sum(part.decode.cycles * len(part.layers) for part in parts) + sum(hand_overs.decode)
    return sum(part.prefill.cycles * len(part.layers) for part in parts) + sum(hand_overs.prefill)


def find_times(key: str, paths: Iterator[Path]) -> RequestTimes | None:
    """The first file that holds the times of this key; others, and what is no such file, are passed over."""
    for path in paths:
        try:
            times = msgspec.json.decode(path.read_bytes(), type=RequestTimes)
        except (OSError, msgspec.DecodeError):
            continue
        if times.key == key:
            return times
    return None


def save_times(times: RequestTimes, path: Path) -> None:
    """Whole or not at all, whoever else may write it. OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{id(times):x}.new")
    written.write_bytes(msgspec.json.format(msgspec.json.encode(times, order="deterministic"), indent=1) + b"\n")
    written.replace(path)
