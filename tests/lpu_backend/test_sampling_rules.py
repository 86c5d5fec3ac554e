"""Every rule of sampling beside a naive reference that keeps to the definition and nothing else."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend import SamplingParams, SamplingParamsError
from lpu_backend.arithmetic.functions import exp
from lpu_backend.runtime.logit_rules import LogitRules
from lpu_backend.runtime.sampling import draw_uniform, list_largest, sample_token

VOCABULARY_TOKENS = 24

logit = st.sampled_from([-4.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.5]) | st.floats(-8, 8, width=32)
logit_rows = st.lists(logit, min_size=VOCABULARY_TOKENS, max_size=VOCABULARY_TOKENS)
token_ids = st.integers(0, VOCABULARY_TOKENS - 1)


def reference_token(logits: list[float], params: SamplingParams, position: int) -> int:
    """By sorting pairs and adding fractions: no array, no shortcut, no rounding of a sum."""
    most = max(logits)
    if params.temperature == 0:
        return logits.index(most)
    weights = [float(exp(np.array([(x - most) / params.temperature], dtype=np.float32))[0]) for x in logits]
    kept = list(range(len(weights)))
    ranked = sorted(kept, key=lambda i: (-weights[i], i))
    if params.top_k:
        kept = ranked = ranked[: params.top_k]
    if params.top_p < 1:
        total, reached, nucleus = sum(Fraction(weights[i]) for i in kept), Fraction(0), []
        for i in ranked:
            nucleus.append(i)
            reached += Fraction(weights[i])
            if reached >= Fraction(params.top_p) * total:
                break
        kept = nucleus
    if params.min_p:
        bound = params.min_p * max(weights[i] for i in kept)
        kept = [i for i in kept if weights[i] >= bound]
    draw = Fraction(draw_uniform(params.seed, position)) * sum(Fraction(weights[i]) for i in kept)
    for i in kept:
        draw -= Fraction(weights[i])
        if draw < 0:
            return i
    raise AssertionError("the draw lies past the total")


@settings(max_examples=150, deadline=None)
@given(
    logit_rows,
    st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    st.sampled_from([0, 1, 3, 7, 100]),
    st.sampled_from([1.0, 0.93, 0.51, 0.12]),
    st.sampled_from([0.0, 0.07, 0.4, 1.0]),
    st.integers(-3, 10**6),
    st.integers(0, 5000),
    st.none() | st.sets(token_ids, min_size=1),
)
def test_it_draws_as_the_definition_does(
    row: list[float],
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    seed: int,
    position: int,
    allowed: set[int] | None,
) -> None:
    params = SamplingParams(1, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    logits = np.array(row, dtype=np.float32)
    mask = None if allowed is None else np.array([i in allowed for i in range(VOCABULARY_TOKENS)])
    masked = [x if allowed is None or i in allowed else -math.inf for i, x in enumerate(logits.tolist())]
    assert sample_token(logits, params, position, mask) == reference_token(masked, params, position)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, -3.0, math.inf, -math.inf]), min_size=1, max_size=40), st.integers(0, 50)
)
def test_the_largest_come_first_and_the_lowest_ids_first_on_a_tie(row: list[float], count: int) -> None:
    expected = sorted(range(len(row)), key=lambda i: (-row[i], i))[:count]
    assert list_largest(np.array(row, dtype=np.float32), count).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(
    logit_rows,
    st.dictionaries(token_ids, st.floats(-100, 100), max_size=5),
    st.lists(token_ids, max_size=12),
    st.floats(-2, 2),
    st.floats(-2, 2),
)
def test_bias_and_penalties_are_applied_in_this_order(
    row: list[float],
    bias: dict[int, float],
    answer: list[int],
    frequency: float,
    presence: float,
) -> None:
    params = SamplingParams(
        1, logit_bias=tuple(bias.items()), frequency_penalty=frequency, presence_penalty=presence, temperature=0.0
    )
    rules = LogitRules(params, VOCABULARY_TOKENS)
    for token_id in answer:
        rules.count(token_id)
    logits = np.array(row, dtype=np.float32)
    changed = rules.apply(logits)

    for i, raw in enumerate(logits.tolist()):
        expected = raw + bias.get(i, 0.0)
        if i in answer:
            expected = expected - answer.count(i) * frequency - presence
        assert changed[i] == expected
    assert logits.tolist() == np.array(row, dtype=np.float32).tolist()


def test_without_rules_the_logits_stay_the_same_array() -> None:
    logits = np.zeros(VOCABULARY_TOKENS, dtype=np.float32)
    assert LogitRules(SamplingParams(1), VOCABULARY_TOKENS).apply(logits) is logits


def test_what_is_not_allowed_is_never_drawn() -> None:
    allowed = np.arange(VOCABULARY_TOKENS) % 3 == 1
    logits = np.zeros(VOCABULARY_TOKENS, dtype=np.float32)
    for params in (SamplingParams(1), SamplingParams(1, top_p=0.7), SamplingParams(1, top_k=20, min_p=0.0)):
        drawn = {sample_token(logits, params, position, allowed) for position in range(200)}
        assert drawn <= set(np.flatnonzero(allowed).tolist())
        assert len(drawn) > 3


def test_a_bias_for_a_token_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(SamplingParamsError, match="vocabulary has 24 tokens"):
        LogitRules(SamplingParams(1, logit_bias=((VOCABULARY_TOKENS, 1.0),)), VOCABULARY_TOKENS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", -1),
        ("min_p", 1.1),
        ("min_p", math.nan),
        ("frequency_penalty", 2.1),
        ("presence_penalty", -2.1),
        ("presence_penalty", math.nan),
        ("logit_bias", ((1, 100.5),)),
        ("logit_bias", ((-1, 1.0),)),
        ("logit_bias", ((1, 1.0), (1, 2.0))),
        ("top_logprobs", 21),
        ("top_logprobs", -1),
        ("stop", ("",)),
        ("max_completion_tokens", 0),
    ],
)
def test_it_refuses_by_name_what_is_out_of_range(name: str, value: object) -> None:
    with pytest.raises(SamplingParamsError, match=name):
        SamplingParams(**{"max_completion_tokens": 1, name: value})
