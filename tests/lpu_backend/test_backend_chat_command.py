"""`python -m lpu_backend.chat`."""

from pathlib import Path

import pytest

from lpu_backend import SamplingParams, load_model
from lpu_backend.chat import main


def test_it_prints_the_answer_and_its_figures(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hello", "--model", str(checkpoint), "--max-completion-tokens", "12"]) == 0
    model = load_model(checkpoint)
    prompt_ids = model.tokenizer.encode_chat([{"role": "user", "content": "hello"}])
    steps = list(model.generate(prompt_ids, SamplingParams(max_completion_tokens=12, temperature=0.0)))
    printed = capsys.readouterr()
    assert printed.out == "".join(step.text for step in steps)
    assert f"{len(prompt_ids)} prompt tokens, {len(steps)} completion tokens" in printed.err
    assert "tokens/s on 1 chip(s)" in printed.err


def test_it_says_why_a_folder_cannot_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hello", "--model", str(tmp_path)]) == 1
    assert "config.json" in capsys.readouterr().err
