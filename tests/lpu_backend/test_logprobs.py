"""Log-probabilities: near the real ones, and the same bits on any host."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpu_backend import SamplingParams
from lpu_backend.answer import Answer, Vocabulary
from lpu_backend.runtime.logprobs import Logprobs, natural_log

BITS = "0ae6b62a6452fb7c"


@given(st.floats(min_value=5e-324, max_value=1.7e308))
def test_the_logarithm_is_within_two_units_of_the_last_place(x: float) -> None:
    expected = math.log(x)
    assert abs(natural_log(x) - expected) <= 2 * math.ulp(expected)


def test_the_logarithm_of_one_is_zero() -> None:
    assert natural_log(1.0) == 0.0


def some_logits(seed: int, tokens: int = 3000) -> np.ndarray:
    """Whole thousandths: no host draws them otherwise."""
    return np.random.default_rng(seed).integers(-20_000, 20_000, tokens).astype(np.float32) / np.float32(1000)


def test_they_are_the_logarithm_of_the_softmax() -> None:
    for seed in range(5):
        logits = some_logits(seed)
        wide = logits.astype(np.longdouble)
        expected = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
        found = np.array([Logprobs(logits).of(token_id) for token_id in range(len(logits))])
        assert np.abs(found - expected).max() < 1e-7


def test_their_bits_are_fixed() -> None:
    found = [Logprobs(some_logits(seed)).of(seed * 7) for seed in range(40)]
    assert hashlib.sha256(np.array(found).tobytes()).hexdigest()[:16] == BITS


def answer_with(top_logprobs: int | None, **fields: object) -> Answer:
    vocabulary = Vocabulary([b"a", b"b", b"", "é".encode()[:1]], frozenset({2}), special_names={2: b"<|end|>"})
    params = SamplingParams(9, temperature=0.0, top_logprobs=top_logprobs, **fields)
    return Answer(vocabulary, params, prompt_tokens=1, limit_tokens=9)


LOGITS = np.array([1.0, 3.0, 2.0, 0.0], dtype=np.float32)


def test_a_step_has_those_of_its_token_and_of_the_likeliest() -> None:
    logprobs = answer_with(3).choose(LOGITS).logprobs
    assert logprobs.sampled == logprobs.top[0]
    assert [(token.token_id, token.token_bytes) for token in logprobs.top] == [(1, b"b"), (2, b"<|end|>"), (0, b"a")]
    total = sum(math.exp(x) for x in LOGITS.tolist())
    shares = [math.exp(token.logprob) * total for token in logprobs.top]
    assert shares == pytest.approx([math.exp(x) for x in (3.0, 2.0, 1.0)], rel=1e-6)


def test_they_are_those_of_the_raw_logits_whatever_chose_the_token() -> None:
    plain = answer_with(0).choose(LOGITS).logprobs
    step = answer_with(0, logit_bias=((0, 50.0),), presence_penalty=2.0).choose(LOGITS)
    assert step.token_id == 0
    assert step.logprobs.sampled.logprob == plain.sampled.logprob - 2.0
    assert step.logprobs.top == ()


def test_there_are_none_unless_asked_for_and_none_for_the_end_of_the_turn() -> None:
    assert answer_with(None).choose(LOGITS).logprobs is None
    step = answer_with(2, logit_bias=((2, 50.0),)).choose(LOGITS)
    assert (step.finish_reason, step.logprobs) == ("stop", None)
