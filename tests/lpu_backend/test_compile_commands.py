"""`compile` and `scale` on the command line."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lpu_backend.__main__ import main
from lpu_backend.compiler.compiled_program import load_program
from lpu_backend.graph.configs import list_config_names, load_config
from tests.lpu_backend.small_models import SMALL_MODELS

KEYS = {
    "chips",
    "minimum_chips",
    "bytes_per_chip",
    "tokens_per_second_per_user",
    "tokens_per_dollar",
    "tokens_per_watt",
    "mode",
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**SMALL_MODELS["llama"], "num_hidden_layers": 2}))
    return str(path)


def test_compile_prints_what_chips_hold_and_how_fast_they_are(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", config, "--chips", "2", "--context", "320"]) == 0
    printed = capsys.readouterr().out
    for said in ("2 chips, 1 at least", "weights", "KV cache", "tokens/s for each user", "assumed: $20,000", "hash "):
        assert said in printed


def test_compile_in_json_has_every_figure_and_saves_the_program(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "program.json"
    assert main(["compile", config, "--mode", "calibrated", "--json", "-o", str(path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) >= KEYS
    assert (printed["chips"], printed["minimum_chips"], printed["mode"]) == (1, 1, "calibrated")
    assert (
        0
        < printed["bytes_per_chip"]
        == sum(printed["bytes_per_chip_by_purpose"][purpose] for purpose in ("weights", "kv_cache", "vectors"))
    )
    assert printed["tokens_per_second_per_user"] == pytest.approx(900e6 / printed["decode_cycles"])
    assert load_program(path).content_hash == printed["content_hash"]


def test_what_a_pass_gave_is_shown_where_asked(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", config, "--print-after", "quantise"]) == 0
    printed = capsys.readouterr().out
    assert "-- after quantise" in printed
    assert "-- after lower" not in printed


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["llama-5"], 1, "llama-5 is no file, and no model of falcon-180b"),
        (["llama-2-70b", "--chips", "100"], 1, "100 chips are too few: 569 are needed"),
        (["llama-2-70b", "--chips", "576", "--context", "5000"], 1, "the model has 1 to 4,096"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_a_reason(
    arguments: list[str], status: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", *arguments]) == status
    assert reason in capsys.readouterr().err


def test_every_configuration_that_comes_along_says_where_it_is_from() -> None:
    assert {"llama-2-70b", "llama-3.1-405b", "falcon-180b", "mixtral-8x7b", "qwen3-235b"} <= set(list_config_names())
    assert all("published with" in load_config(name)["source"] for name in list_config_names())


def test_scale_prints_a_line_a_number_of_chips_and_draws_them(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "scaling.svg"
    assert main(["scale", config, "--chips", "1,2", "--context", "320", "-o", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["chips", "1", "2"]
    drawn = picture.read_text(encoding="utf-8")
    assert ElementTree.fromstring(drawn).tag.endswith("svg")  # noqa: S314  our own file
    assert "prefers-color-scheme:dark" in drawn


def test_scale_says_which_numbers_are_too_few(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "llama-2-70b", "--chips", "1,2", "--json"]) == 1
    refused = json.loads(capsys.readouterr().out)["refused"]
    assert refused == ["1: 1 chips are too few: 569 are needed", "2: 2 chips are too few: 569 are needed"]
