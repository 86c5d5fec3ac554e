"""`prove`: a compiled model on the emulator, beside what is served."""

from pathlib import Path

import pytest

from lpu_backend.__main__ import main
from lpu_backend.compiler.emulated_model import EmulatedModel, EmulatedStep


def test_a_checkpoints_steps_are_as_compiled(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", str(checkpoint), "--prefill", "2", "--decode", "1"]) == 0

    output = capsys.readouterr().out
    assert output.count("equal what is served, bit for bit") == 2
    assert "2 of 2 steps as compiled, on 1 chip(s)" in output


def test_it_ends_with_status_1_where_cycles_differ(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = EmulatedModel.advance

    def be_late(model: EmulatedModel, ids: list[int]) -> EmulatedStep:
        step = advance(model, ids)
        return EmulatedStep(step.logits, step.cycles + 1, step.scheduled_cycles)

    monkeypatch.setattr(EmulatedModel, "advance", be_late)

    assert main(["prove", str(checkpoint), "--prefill", "1", "--decode", "0"]) == 1


def test_it_refuses_a_model_that_would_take_hours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "llama-3-8b"]) == 2
    assert "are more than are emulated here" in capsys.readouterr().err
