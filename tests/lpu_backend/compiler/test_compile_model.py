"""From a configuration to a compiled program: passes, checks, times, the artefact and its hash."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from lpu_backend.chip import GROQCHIP1
from lpu_backend.compiler.compilation import Compilation, CompileRequest
from lpu_backend.compiler.compile_model import compile_model
from lpu_backend.compiler.compiled_program import CompiledProgram, load_program, save_program
from lpu_backend.compiler.economics import Prices, find_economy
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.pass_checks import verify_partition, verify_places, verify_schedule
from lpu_backend.compiler.passes import PASS_NAMES, PASSES, run_passes
from lpu_backend.compiler.step_time import count_slowest_stage_cycles, count_step_cycles, find_rates, sum_units
from lpu_backend.compiler.verifying import VerificationError
from lpu_backend.graph.families import make_graph
from tests.lpu_backend.small_models import SMALL_MODELS


def make_request(family: str = "llama", chips: int | None = 1) -> CompileRequest:
    return CompileRequest(make_graph(SMALL_MODELS[family]), chips, context_tokens=320, position=100, prefill_tokens=2)


@pytest.fixture(scope="module")
def on_three() -> Compilation:
    return run_passes(Compilation(make_request(chips=3)))


@pytest.fixture(scope="module")
def program() -> CompiledProgram:
    return compile_model(make_request(chips=3))


@pytest.mark.parametrize("family", ["llama", "gemma2", "mixtral"])
def test_families_are_compiled_for_one_chip(family: str) -> None:
    compiled = compile_model(make_request(family))
    assert (compiled.chips, compiled.minimum_chips, compiled.model.family) == (1, 1, family)
    assert sorted(layer for part in compiled.parts for layer in part.layers) == [0, 1, 2]
    assert count_step_cycles(compiled) > 0


def test_the_units_cycles_and_the_hand_overs_are_all_of_a_step(program: CompiledProgram) -> None:
    layers = [program.part_of(layer).decode.cycles for layer in range(3)]
    expected = sum(layers) + program.head.decode.cycles + sum(program.hand_over_cycles)
    assert count_step_cycles(program) == sum_units(program).total == expected
    assert len(program.hand_over_cycles) == len(program.stages) - 1


def test_several_tokens_in_one_step_take_longer_than_one(program: CompiledProgram) -> None:
    assert count_step_cycles(program, "prefill") > count_step_cycles(program)


def test_a_full_pipeline_gives_no_more_than_its_slowest_stage_and_its_users(program: CompiledProgram) -> None:
    rates = find_rates(program, GROQCHIP1.clock_hz)
    assert rates.tokens_per_second <= GROQCHIP1.clock_hz / count_slowest_stage_cycles(program) * (1 + 1e-12)
    assert rates.tokens_per_second <= rates.users * rates.tokens_per_second_per_user * (1 + 1e-12)
    assert rates.tokens_per_second >= rates.tokens_per_second_per_user


def test_tokens_per_dollar_and_watt_are_of_all_chips(program: CompiledProgram) -> None:
    rates = find_rates(program, GROQCHIP1.clock_hz)._replace(tokens_per_second=388.0)
    economy = find_economy(rates, 2, GROQCHIP1, Prices(chip_usd=365 * 24 * 3600.0, lifetime_years=1.0))
    assert economy.tokens_per_watt == pytest.approx(0.5)
    assert economy.tokens_per_dollar == pytest.approx(388.0 / (2.0 + 2 * 388 / 3.6e6 * 0.10))


def test_calibration_adds_the_same_to_every_layer(monkeypatch: pytest.MonkeyPatch, program: CompiledProgram) -> None:
    monkeypatch.setattr("lpu_backend.compiler.compile_model.LAYER_OVERHEAD_CYCLES", 1_000)
    calibrated = compile_model(replace(make_request(chips=3), mode="calibrated"))
    assert count_step_cycles(calibrated) == count_step_cycles(program) + 3 * 1_000
    assert sum_units(calibrated) == sum_units(program)
    assert calibrated.content_hash != program.content_hash


def test_compiling_again_gives_the_same_hash_and_another_model_another(program: CompiledProgram) -> None:
    assert compile_model(make_request(chips=3)).content_hash == program.content_hash
    fields = {**SMALL_MODELS["llama"], "rms_norm_eps": 1e-6}
    other = compile_model(replace(make_request(chips=3), graph=make_graph(fields)))
    assert other.content_hash != program.content_hash


def test_the_hash_is_known_whatever_the_host(program: CompiledProgram) -> None:
    fixed = CompiledProgram(
        model=program.model.__class__("llama", 0, 64, 512, 320, "graph"),
        chip="groqchip1",
        chip_digest="chip",
        chips=1,
        minimum_chips=1,
        tensor_parallel=1,
        stages=(),
        caches=1,
        parts=(),
        hand_over_cycles=(),
        prefill_hand_over_cycles=(),
        mode="ideal",
        layer_overhead_cycles=0,
    )
    assert fixed.content_hash == "74116def5152f9e46053a6787ca3fe8aba8270884eab529c01c96d1cbe54d2e8"


def test_a_program_is_saved_and_loaded_whole(program: CompiledProgram, tmp_path: Path) -> None:
    save_program(program, tmp_path / "program.json")
    assert load_program(tmp_path / "program.json") == program


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text.replace('"chips":3', '"chips":4', 1), "not what its hash says"),
        (lambda text: text.replace('"format":1', '"format":9'), "of format 9"),
        (lambda text: text[:-20], "no compiled program"),
    ],
)
def test_a_damaged_program_is_refused(program: CompiledProgram, tmp_path: Path, damage: object, reason: str) -> None:
    path = tmp_path / "program.json"
    save_program(program, path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(CompileError, match=reason):
        load_program(path)


def test_every_pass_is_shown_in_order() -> None:
    shown: dict[str, list[str]] = {}

    def show(name: str, lines: Iterable[str]) -> None:
        shown[name] = list(lines)

    compile_model(make_request("mixtral", 2), show)
    assert tuple(shown) == PASS_NAMES == ("lower", "quantise", "partition", "place", "schedule", "route")
    assert any("experts.1.w2.weight [64 x 96] int8" in line for line in shown["quantise"])
    assert any("columns times model.layers.0.input_layernorm.weight" in line for line in shown["quantise"])
    assert any(line.startswith("  value hidden shard: MEM_") for line in shown["place"])
    assert sum("shared" in line for line in shown["schedule"]) >= 4
    assert all(shown[name] for name in PASS_NAMES if name != "route")


def test_too_few_chips_say_how_many_are_needed() -> None:
    wide = {**SMALL_MODELS["llama"], "intermediate_size": 200_000}
    with pytest.raises(CompileError, match=r"1 chips are too few: \d+ are needed"):
        compile_model(CompileRequest(make_graph(wide), 1, context_tokens=320))


def test_a_context_that_the_model_has_not_is_refused() -> None:
    with pytest.raises(CompileError, match="a context of 641 tokens: the model has 1 to 640"):
        compile_model(replace(make_request(), context_tokens=641))


def test_a_chip_in_two_stages_is_found_out(on_three: Compilation) -> None:
    partition = on_three.partition
    first, *rest = partition.stages
    moved = replace(first, group=rest[-1].group)
    with pytest.raises(VerificationError, match="share a chip"):
        verify_partition(replace(on_three, division=replace(partition, stages=(moved, *rest))))
    with pytest.raises(VerificationError, match="every layer once"):
        verify_partition(replace(on_three, division=replace(partition, stages=tuple(rest))))


def test_two_matrices_in_one_place_are_found_out(on_three: Compilation) -> None:
    name, placed = next(iter(on_three.placements.items()))
    tiles = dict(placed.decode.tiles)
    one, other = "layers.0.up weights", "layers.0.gate weights"
    tiles[one] = tiles[other]
    damaged = replace(placed, decode=replace(placed.decode, tiles=tiles))
    with pytest.raises(VerificationError, match="share an address"):
        verify_places(replace(on_three, placements={**on_three.placements, name: damaged}))


def test_two_instructions_in_one_cycle_are_found_out(on_three: Compilation) -> None:
    first, *rest = on_three.scheduled
    run = first.decode.runs[0]
    doubled = replace(first.decode, runs=(*first.decode.runs, run))
    with pytest.raises(VerificationError, match="twice in a cycle"):
        verify_schedule(replace(on_three, scheduled=(replace(first, decode=doubled), *rest)))


def test_passes_are_six_with_a_check_each() -> None:
    assert all(callable(each.verify) for each in PASSES)
    assert len({each.verify for each in PASSES}) == 6
