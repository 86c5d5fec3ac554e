"""Published speeds of language models beside those of their schedules, and beside one number for all of them.

The baseline is what a first analytic model came to: a layer takes about 42.5 us whatever the dense model. A row in
which the calibrated schedule is no nearer than that is no evidence for the schedule, and says so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.calibration import fit_layer_overhead
from lpu_backend.compiler.compilation import DEFAULT_CONTEXT_TOKENS, CompileRequest
from lpu_backend.compiler.compile_model import compile_model
from lpu_backend.compiler.step_time import count_step_cycles
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.graph.configs import load_config
from lpu_backend.graph.families import make_graph
from lpu_backend.validation.recording import MeasurementError

PUBLISHED_MODELS = Path(__file__).parent / "published_models.json"
BASELINE_LAYER_US = 42.5
"""Fitted once to dense models on this hardware; 7 % off on average over those."""


class PublishedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the data file. `config` is a name or a path; `is_counter`: read off the server, not throttled or queued,
    so that an ideal schedule must be faster. `calibrates`: the calibrated mode is fitted to it."""

    name: str
    config: str
    chips: int
    tokens_per_second: float
    source: str
    date: str
    statistic: str
    chips_from: str
    is_counter: bool = False
    calibrates: bool = False


class Timing(msgspec.Struct, frozen=True):
    """What a schedule gives: cycles a token, in ideal mode, and the layers that a fit is divided by."""

    cycles: int
    layers: int


@dataclass(frozen=True)
class ModelRow:
    """Tokens a second for each user. Errors are relative; what could not be compiled has None, and the `reason`."""

    name: str
    source: str
    statistic: str
    chips: str
    published: float
    ideal: float | None
    calibrated: float | None
    error: float | None
    baseline: float | None
    baseline_error: float | None
    used_for: str
    beats_baseline: bool | None
    verdict: str


def read_published(path: Path = PUBLISHED_MODELS) -> tuple[PublishedModel, ...]:
    """The rows of a data file. MeasurementError if it is not one; OSError."""
    try:
        return tuple(msgspec.json.decode(path.read_bytes(), type=list[PublishedModel]))
    except msgspec.DecodeError as error:
        raise MeasurementError(f"{path}: {error}") from None


def time_config(config: str, chips: int, chip: ChipSpec = GROQCHIP1) -> Timing:
    """Compile a model and count a token's cycles. LpuBackendError."""
    graph = make_graph(load_config(config))
    context = min(DEFAULT_CONTEXT_TOKENS, graph.context_window)
    program = compile_model(CompileRequest(graph, chips, context_tokens=context, chip=chip))
    return Timing(count_step_cycles(program), len(graph.layers))


TimeConfig = Callable[[str, int], Timing]


def list_model_rows(
    published: Sequence[PublishedModel], clock_hz: int = GROQCHIP1.clock_hz, time: TimeConfig = time_config
) -> Iterator[ModelRow]:
    """A row each; the overhead is fitted anew to the first that calibrates, or is 0 if none does."""
    time = cache(time)
    overhead_cycles = _fit(published, clock_hz, time)
    for row in published:
        yield _compare(row, overhead_cycles, clock_hz, time)


def _fit(published: Sequence[PublishedModel], clock_hz: int, time: TimeConfig) -> int:
    for row in published:
        if row.calibrates:
            timing = time(row.config, row.chips)
            return fit_layer_overhead(timing.cycles, timing.layers, row.tokens_per_second, clock_hz)
    return 0


def _compare(row: PublishedModel, overhead_cycles: int, clock_hz: int, time: TimeConfig) -> ModelRow:
    used_for = "calibration" if row.calibrates else "check"
    chips = f"{row.chips} ({row.chips_from})"
    head = row.name, f"{row.source}, {row.date}", row.statistic, chips, row.tokens_per_second
    try:
        timing = time(row.config, row.chips)
    except LpuBackendError as refusal:
        return ModelRow(*head, None, None, None, None, None, used_for, None, f"not compiled: {refusal}")
    ideal = clock_hz / timing.cycles
    calibrated = clock_hz / (timing.cycles + overhead_cycles * timing.layers)
    baseline = 1e6 / (BASELINE_LAYER_US * timing.layers)
    error, baseline_error = (found / row.tokens_per_second - 1 for found in (calibrated, baseline))
    beats = None if row.calibrates else abs(error) < abs(baseline_error)
    verdict = _judge(row, beats=beats, is_bound=ideal > row.tokens_per_second, overhead_cycles=overhead_cycles)
    return ModelRow(*head, ideal, calibrated, error, baseline, baseline_error, used_for, beats, verdict)


def _judge(row: PublishedModel, *, beats: bool | None, is_bound: bool, overhead_cycles: int) -> str:
    said = {
        None: f"fitted: {overhead_cycles:,} cycles a layer",
        True: "beats the baseline",
        False: "does not beat the baseline: no evidence",
    }[beats]
    if is_bound:
        return said
    what = "the counter" if row.is_counter else "what was published"
    return f"{said}; the ideal schedule is SLOWER than {what}"
