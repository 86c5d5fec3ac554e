"""How a request is divided into steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpu_backend.compiler.request_steps import StepKey, count_steps, list_step_keys

LANES = 320
CYCLES = {key: 1_000 * key.blocks + 100 * key.tokens for key in list_step_keys(1024, LANES)}


def test_a_context_of_four_blocks_has_shapes_for_one_two_and_four() -> None:
    assert list_step_keys(1024, LANES) == tuple(
        StepKey(tokens, blocks) for tokens in (1, 8, 32) for blocks in (1, 2, 4)
    )


def test_the_last_bucket_is_what_there_is() -> None:
    assert [key.blocks for key in list_step_keys(2000, LANES) if key.tokens == 1] == [1, 2, 4, 7]


def test_a_context_below_a_step_has_no_such_step() -> None:
    assert {key.tokens for key in list_step_keys(20, LANES)} == {1, 8}


def test_an_answer_of_one_token_needs_the_prompts_steps_alone() -> None:
    assert count_steps(CYCLES, 64, 1, LANES) == {StepKey(32, 1): 2}


def test_every_further_token_is_a_step_of_its_own() -> None:
    steps = count_steps(CYCLES, 318, 5, LANES)

    assert steps[StepKey(1, 1)] == 2, "positions 318 and 319 are the first block's last"
    assert steps[StepKey(1, 2)] == 2


@pytest.mark.parametrize(("rest", "expected"), [(1, StepKey(1, 1)), (5, StepKey(8, 1)), (20, StepKey(32, 1))])
def test_the_rest_of_a_prompt_takes_the_quickest_steps(rest: int, expected: StepKey) -> None:
    assert set(count_steps(CYCLES, rest, 1, LANES)) == {expected}


@given(prompt=st.integers(1, 1000), completion=st.integers(1, 24))
def test_longer_requests_never_take_less(prompt: int, completion: int) -> None:
    def total(prompt_tokens: int, completion_tokens: int) -> int:
        steps = count_steps(CYCLES, prompt_tokens, completion_tokens, LANES)
        return sum(CYCLES[key] * count for key, count in steps.items())

    assert total(prompt, completion) < total(prompt, completion + 1)
    assert sum(count_steps(CYCLES, prompt, completion, LANES).values()) >= completion
