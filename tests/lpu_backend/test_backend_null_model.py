"""null-16, for measuring the path."""

import pytest

from lpu_backend import NULL_MODEL_ID, PromptError, SamplingParams, null_model, null_tokenizer

MESSAGES = [{"role": "user", "content": "é" * 10}]


def test_it_answers_sixteen_fixed_tokens_and_stops() -> None:
    steps = list(null_model().generate([0], SamplingParams(max_completion_tokens=100, seed=5)))
    assert "".join(step.text for step in steps) == "".join(f" tok{index:02d}" for index in range(16))
    assert [step.index for step in steps] == list(range(16))
    assert [step.finish_reason for step in steps] == [None] * 15 + ["stop"]
    assert NULL_MODEL_ID == "null-16"


def test_a_lower_limit_ends_it_by_length() -> None:
    steps = list(null_model().generate([0], SamplingParams(max_completion_tokens=3)))
    assert [step.finish_reason for step in steps] == [None, None, "length"]


def test_a_stop_string_ends_it() -> None:
    steps = list(null_model().generate([0], SamplingParams(max_completion_tokens=16, stop=("2 tok03",))))
    assert "".join(step.text for step in steps) == " tok00 tok01 tok0"
    assert (len(steps), steps[-1].finish_reason) == (4, "stop")


def test_it_counts_a_prompt_token_per_four_bytes_and_message() -> None:
    assert len(null_tokenizer().encode_chat(MESSAGES)) == 1 + 5


def test_it_refuses_a_prompt_that_fills_the_context_window() -> None:
    model = null_model()
    with pytest.raises(PromptError):
        model.generate([0] * model.context_window, SamplingParams(max_completion_tokens=1))


def test_its_time_says_that_it_is_none() -> None:
    model = null_model()
    emulated = model.emulate(prompt_tokens=6, completion_tokens=16)
    assert (emulated.mode, emulated.program_hash) == ("null", model.program_hash)
