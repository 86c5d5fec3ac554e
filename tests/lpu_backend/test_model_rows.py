"""Published speeds of models beside predicted ones: the fit, the baseline, what is said of each, a user's own rows."""

import json
from pathlib import Path

import pytest

from lpu_backend.chip import GROQCHIP1
from lpu_backend.commands.validate import list_models, report
from lpu_backend.compiler.calibration import FITTED_TO, LAYER_OVERHEAD_CYCLES, fit_layer_overhead
from lpu_backend.compiler.errors import CompileError
from lpu_backend.graph.configs import list_config_names
from lpu_backend.validation.model_rows import (
    ModelRow,
    PublishedModel,
    Timing,
    list_model_rows,
    read_published,
    time_config,
)
from lpu_backend.validation.products import measure_distributed_us, measure_utilisation
from lpu_backend.validation.recording import MeasurementError
from tests.lpu_backend.small_models import SMALL_MODELS

CLOCK_HZ = 1_000_000
SLOW = PublishedModel("slow", "a", 8, 100.0, "a paper", "2024", "mean", "published", calibrates=True)
FAST = PublishedModel("fast", "b", 8, 1_000.0, "a counter", "2024", "fastest", "assumed", is_counter=True)


def stand_in(config: str, chips: int) -> Timing:
    """Stands for the compiler: a takes 4,000 cycles of a clock of 1 MHz, b 1,500, c is refused."""
    if config == "c":
        raise CompileError(f"{chips} chips are too few: 9 are needed")
    return {"a": Timing(4_000, 60), "b": Timing(1_500, 10)}[config]


def predict(*published: PublishedModel) -> list[ModelRow]:
    return list(list_model_rows(published, CLOCK_HZ, stand_in))


def test_one_number_is_fitted_to_the_row_that_calibrates_and_moves_the_others() -> None:
    slow, fast = predict(SLOW, FAST)
    assert (slow.ideal, slow.calibrated, slow.error) == (250.0, 100.0, 0.0)
    assert (slow.used_for, fast.used_for) == ("calibration", "check")
    assert slow.verdict == "fitted: 100 cycles a layer"
    assert fast.calibrated == pytest.approx(1e6 / (1_500 + 10 * 100))
    assert fast.error == pytest.approx(400 / 1_000 - 1)


def test_a_row_says_whether_it_beats_the_baseline_of_one_number() -> None:
    _, fast = predict(SLOW, FAST)
    assert fast.baseline == pytest.approx(1e6 / 425)
    assert fast.beats_baseline is True
    near = PublishedModel("near", "b", 8, 2_300.0, "a paper", "2024", "mean", "assumed")
    assert predict(SLOW, near)[1].verdict.startswith("does not beat the baseline: no evidence")


def test_an_ideal_schedule_slower_than_a_counter_is_named() -> None:
    _, fast = predict(SLOW, FAST)
    assert fast.verdict.endswith("the ideal schedule is SLOWER than the counter")


def test_without_a_row_that_calibrates_nothing_is_added() -> None:
    (fast,) = predict(FAST)
    assert fast.calibrated == fast.ideal


def test_a_model_that_cannot_be_compiled_says_why() -> None:
    (row,) = predict(PublishedModel("c", "c", 8, 1.0, "a paper", "2024", "mean", "assumed"))
    assert (row.ideal, row.error) == (None, None)
    assert row.verdict == "not compiled: 8 chips are too few: 9 are needed"


def test_an_overhead_is_never_negative() -> None:
    assert fit_layer_overhead(1_000, 10, 500.0, CLOCK_HZ) == 100
    assert fit_layer_overhead(1_000, 10, 5_000.0, CLOCK_HZ) == 0


def test_published_rows_name_their_source_and_one_calibrates() -> None:
    rows = read_published()
    assert [row.name for row in rows if row.calibrates] == [FITTED_TO]
    assert LAYER_OVERHEAD_CYCLES > 0
    assert all(row.source and row.date and row.statistic and row.chips_from for row in rows)
    assert {row.config for row in rows} <= set(list_config_names())


def test_a_user_adds_rows_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "lpu_backend.commands.validate.read_published", lambda path=None: read_published(path) if path else ()
    )
    config = tmp_path / "config.json"
    config.write_text(json.dumps(SMALL_MODELS["llama"]))
    row = {"name": "mine", "config": str(config), "chips": 1, "tokens_per_second": 1e4}
    row |= {"source": "me", "date": "2026", "statistic": "median", "chips_from": "known"}
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]))
    (found,) = list_models(path)
    assert found.name == "mine"
    assert found.ideal == pytest.approx(GROQCHIP1.clock_hz / time_config(str(config), 1).cycles)
    path.write_text('[{"name": "mine"}]')
    with pytest.raises(MeasurementError, match=r"rows\.json: .*config"):
        list_models(path)


def test_the_table_has_each_model_and_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lpu_backend.commands.validate.validate", lambda _chip: iter(()))
    models = predict(SLOW, FAST, PublishedModel("c", "c", 8, 1.0, "a paper", "2024", "mean", "assumed"))
    report(GROQCHIP1, as_json=False, models=models)
    printed = capsys.readouterr().out
    assert "fitted: 100 cycles a layer" in printed
    assert "fast: a counter, 2024; fastest; chips: 8 (assumed)" in printed
    report(GROQCHIP1, as_json=True, models=models)
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["slow", "fast", "c"]


def test_a_large_product_uses_the_matrix_units_as_well_as_published() -> None:
    assert 80 <= measure_utilisation(GROQCHIP1) <= 100


def test_the_distributed_product_takes_about_as_long_as_published() -> None:
    assert measure_distributed_us(GROQCHIP1) == pytest.approx(330, rel=0.15)
