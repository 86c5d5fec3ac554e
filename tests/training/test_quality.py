from pathlib import Path

import numpy as np
import pytest

from training.quality import Quality, measure_quality

FOLDER = Path(__file__).parents[2] / "models" / "lpu-demo"


@pytest.fixture(scope="module")
def quality() -> Quality:
    return measure_quality(FOLDER, 2_000)


def test_serving_is_as_sure_of_held_out_text_as_float32(quality: Quality) -> None:
    assert quality.tokens >= 2_000
    assert quality.perplexity_ratio == pytest.approx(1, abs=0.01)
    assert quality.answer_perplexity_ratio == pytest.approx(1, abs=0.01)


def test_serving_has_the_same_likeliest_token_as_float32(quality: Quality) -> None:
    assert quality.agreement >= 0.99


def test_the_held_out_text_is_predicted_far_better_than_by_chance(quality: Quality) -> None:
    assert 1 < quality.answer_perplexity < 2
    assert quality.answer_perplexity < quality.perplexity < np.sqrt(3_072)
