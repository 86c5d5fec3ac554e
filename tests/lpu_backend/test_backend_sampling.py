"""Choosing a token from logits."""

import numpy as np
import pytest

from lpu_backend import SamplingParams, SamplingParamsError
from lpu_backend.runtime.sampling import draw_uniform, sample_token

DRAWS = [0.011546754286331562, 0.21185954403345741, 0.3035680343067586]


def logits_of(*probabilities: float) -> np.ndarray:
    return np.log(np.array(probabilities, dtype=np.float32))


def sample_many(logits: np.ndarray, params: SamplingParams, draws: int = 4_000) -> np.ndarray:
    ids = [sample_token(logits, params, position) for position in range(draws)]
    return np.bincount(ids, minlength=len(logits)) / draws


def test_greedy_takes_the_lowest_id_on_a_tie() -> None:
    params = SamplingParams(max_completion_tokens=1, temperature=0.0)
    assert sample_token(np.array([1, 3, 2, 3], dtype=np.float32), params, 0) == 1


def test_draws_follow_the_probabilities() -> None:
    shares = sample_many(logits_of(0.5, 0.3, 0.2), SamplingParams(max_completion_tokens=1, seed=3))
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_a_higher_temperature_flattens() -> None:
    shares = sample_many(logits_of(0.8, 0.2), SamplingParams(max_completion_tokens=1, temperature=2.0))
    assert shares == pytest.approx([2 / 3, 1 / 3], abs=0.03)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.0, {1}), (0.4, {1}), (0.5, {0, 1}), (0.75, {0, 1, 2}), (0.89, {0, 1, 2}), (0.95, {0, 1, 2, 3})],
)
def test_top_p_keeps_the_smallest_likeliest_set_that_reaches_it(top_p: float, kept: set[int]) -> None:
    logits = logits_of(0.25, 0.45, 0.2, 0.1)
    shares = sample_many(logits, SamplingParams(max_completion_tokens=1, top_p=top_p), draws=600)
    assert set(np.flatnonzero(shares)) == kept


def test_top_p_takes_lower_ids_first_on_a_tie() -> None:
    shares = sample_many(logits_of(0.25, 0.25, 0.25, 0.25), SamplingParams(max_completion_tokens=1, top_p=0.4), 400)
    assert set(np.flatnonzero(shares)) == {0, 1}


def test_a_tiny_temperature_is_greedy() -> None:
    params = SamplingParams(max_completion_tokens=1, temperature=1e-310)
    assert sample_token(np.array([-500.0, 3.0, 2.9], dtype=np.float32), params, 0) == 1


def test_draws_are_fixed_for_all_time() -> None:
    # Stored seeds must replay on later versions too: these are Philox-4x64's first words.
    assert [draw_uniform(seed, position) for seed, position in ((0, 0), (0, 1), (1, 0))] == DRAWS
    assert draw_uniform(-1, 5) == draw_uniform(2**64 - 1, 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_completion_tokens": 0},
        {"max_completion_tokens": 1, "temperature": -0.1},
        {"max_completion_tokens": 1, "temperature": float("nan")},
        {"max_completion_tokens": 1, "top_p": 1.1},
        {"max_completion_tokens": 1, "stop": ("a", "b", "c", "d", "e")},
        {"max_completion_tokens": 1, "stop": ("",)},
    ],
)
def test_parameters_out_of_range_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(SamplingParamsError):
        SamplingParams(**fields)
