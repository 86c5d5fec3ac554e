"""The cycles of a served model's requests: those of compiled schedules, kept and found again."""

import hashlib
from functools import cache
from pathlib import Path

import pytest

from lpu_backend import CompileError, compile_times, load_model
from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.chip import GROQCHIP1
from lpu_backend.compiler.emulated_model import EmulatedModel
from lpu_backend.compiler.request_steps import StepKey
from lpu_backend.compiler.request_times import RequestTimes, compile_request_times
from lpu_backend.config import read_graph
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.serving_program import TIMES_FILE, ServingProgram
from lpu_backend.tensors import list_weight_files, read_tensors

DEMONSTRATION_MODEL = Path(__file__).parents[2] / "models" / "lpu-demo"


@cache
def compile_graph(graph: ModelGraph) -> RequestTimes:
    return compile_request_times(graph, 1, graph.context_window)


@pytest.fixture
def times(checkpoint: Path) -> RequestTimes:
    return compile_graph(read_graph(checkpoint))


def test_an_answer_carries_the_time_of_its_schedule(model: CheckpointModel, times: RequestTimes) -> None:
    emulated = model.emulate(prompt_tokens=17, completion_tokens=64)
    assert (emulated.chips, emulated.cycles, emulated.mode) == (1, times.count_cycles(17, 64), "schedule")
    assert emulated.seconds == emulated.cycles / GROQCHIP1.clock_hz
    assert emulated.tokens_per_second == pytest.approx(64 / emulated.seconds)
    assert emulated.program_hash == model.program_hash


def test_an_answer_of_no_tokens_has_a_time_and_no_speed(model: CheckpointModel) -> None:
    emulated = model.emulate(prompt_tokens=17, completion_tokens=0)
    assert emulated.cycles == model.emulate(prompt_tokens=17, completion_tokens=1).cycles
    assert emulated.tokens_per_second == 0.0


@pytest.mark.parametrize("cached_tokens", [0, 16, 48, 320, 496])
def test_what_the_cache_saves_stands_beside_the_cycles_of_a_cold_one(cached_tokens: int) -> None:
    program = ServingProgram("", read_graph(DEMONSTRATION_MODEL), 1, DEMONSTRATION_MODEL, None)
    cold = program.emulate(prompt_tokens=500, completion_tokens=3)
    warm = program.emulate(prompt_tokens=500, completion_tokens=3, cached_tokens=cached_tokens)
    assert (warm.cycles, warm.seconds, cold.saved_cycles) == (cold.cycles, cold.seconds, 0)
    assert (0 < warm.saved_cycles < warm.cycles) == (cached_tokens > 0)


def test_the_steps_of_cached_tokens_are_those_saved() -> None:
    program = ServingProgram("", read_graph(DEMONSTRATION_MODEL), 1, DEMONSTRATION_MODEL, None)
    saved_cycles = program.emulate(prompt_tokens=100, completion_tokens=1, cached_tokens=64).saved_cycles
    assert saved_cycles == 2 * program.prepare().by_step[StepKey(32, 1)]


def test_a_decode_step_takes_what_the_emulated_chip_takes(checkpoint: Path, times: RequestTimes) -> None:
    tensors = read_tensors(list_weight_files(checkpoint), hashlib.sha256())
    emulated = EmulatedModel(read_graph(checkpoint), dict(tensors))
    emulated.advance([5])

    step = emulated.advance([6])

    # The schedule of a part ends once nothing is under way; the chip's count ends with its last instruction.
    scheduled = times.count_cycles(1, 2) - times.count_cycles(1, 1)
    assert 0 <= scheduled + GROQCHIP1.tiles - step.cycles < 100


def test_what_was_compiled_is_kept_and_found_again(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    compile_times(checkpoint, 1, tmp_path, lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1] == len(told)

    monkeypatch.setattr("lpu_backend.serving_program.compile_request_times", _refuse)

    assert load_model(checkpoint, 1, tmp_path).emulate(prompt_tokens=1, completion_tokens=1).cycles > 0


def _refuse(*_: object, **__: object) -> RequestTimes:
    raise AssertionError("it was compiled already")


def test_a_file_of_another_program_is_passed_over(checkpoint: Path, tmp_path: Path, times: RequestTimes) -> None:
    graph = read_graph(DEMONSTRATION_MODEL)
    program = ServingProgram("", graph, 1, DEMONSTRATION_MODEL, tmp_path)
    shipped = program.prepare()
    (tmp_path / TIMES_FILE).write_bytes((DEMONSTRATION_MODEL / TIMES_FILE).read_bytes())

    other = ServingProgram("", read_graph(checkpoint), 1, tmp_path, None).prepare()

    assert other == times
    assert other.key != shipped.key


def test_too_few_chips_are_refused_before_weights_are_read(checkpoint: Path) -> None:
    with pytest.raises(CompileError, match="no system has 20,000 chips"):
        read_model(checkpoint, chips=20_000)


def test_the_times_that_ship_are_those_of_the_model_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpu_backend.serving_program.compile_request_times", _refuse)

    assert ServingProgram("", read_graph(DEMONSTRATION_MODEL), 1, DEMONSTRATION_MODEL, None).prepare().chips == 1


@pytest.mark.slow
def test_the_times_that_ship_are_what_the_compiler_gives() -> None:
    graph = read_graph(DEMONSTRATION_MODEL)

    shipped = ServingProgram("", graph, 1, DEMONSTRATION_MODEL, None).prepare()

    assert compile_request_times(graph, 1, graph.context_window) == shipped
