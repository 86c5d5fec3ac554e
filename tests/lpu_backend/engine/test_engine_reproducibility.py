"""The engine of a checkpoint: the same tokens and logits, bit for bit, alone, in any batch, cached or not, resumed or
not."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from lpu_backend import PromptError
from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.engine.batch_engine import BatchEngine
from lpu_backend.types import Constraint, SamplingParams, Step
from tests.lpu_backend.engine.driving import Outcome, Request, finish, run, submit, tick
from tests.lpu_backend.tiny_checkpoint import CONTEXT_WINDOW_TOKENS, VOCABULARY_TOKENS, WriteCheckpoint

CONTEXT_PAGES = CONTEXT_WINDOW_TOKENS // 16


@pytest.fixture
def endless(write_checkpoint: WriteCheckpoint) -> CheckpointModel:
    """A model without an end of turn, and few layers, so that these tests are fast."""
    return read_model(write_checkpoint(eos_token_id=None, num_hidden_layers=2))


def make_requests(count: int) -> list[Request]:
    """Some begin alike, some pick the likeliest tokens."""
    random = Random(count)
    begin = [random.randrange(VOCABULARY_TOKENS) for _ in range(40)]
    requests = []
    for index in range(count):
        ids = [random.randrange(VOCABULARY_TOKENS) for _ in range(random.randrange(1, 50))]
        params = SamplingParams(random.randrange(4, 24), temperature=0.9 * (index % 4), seed=index)
        requests.append(Request((*begin, *ids) if index % 2 else tuple(ids), params))
    return requests


def digest_of(model: CheckpointModel, request: Request, steps: Sequence[Step]) -> str:
    """Of each step's logits, computed one token at a time and without the engine."""
    cache, hasher = model.runtime.make_cache(), hashlib.sha256()
    logits = model.runtime.advance(request.prompt_ids, cache)
    for step in steps:
        hasher.update(step.token_id.to_bytes(4, "little") + np.ascontiguousarray(logits).tobytes())
        logits = model.runtime.advance([step.token_id], cache)
    return hasher.hexdigest()


def assert_undisturbed(model: CheckpointModel, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    for request, outcome in zip(requests, outcomes, strict=True):
        steps = list(model.generate(request.prompt_ids, request.params))
        assert outcome.steps == steps[len(request.made_ids) :]
        assert outcome.generation.digest == digest_of(model, request, steps)


@pytest.mark.parametrize("max_batch", [1, 2, 7, 32])
def test_a_batch_of_any_size_gives_each_answer_as_if_it_were_alone(max_batch: int, endless: CheckpointModel) -> None:
    requests = make_requests(max(max_batch, 4))
    engine, random, outcomes = endless.make_engine(max_batch), Random(1), list[Outcome]()
    for request in requests:
        outcomes.append(submit(engine, request))
        if random.random() < 0.3:
            tick(engine, outcomes)
    finish(engine, outcomes)
    assert_undisturbed(endless, requests, outcomes)


def test_an_answer_from_the_cache_is_the_same(endless: CheckpointModel) -> None:
    engine, requests = endless.make_engine(7), make_requests(7)
    run(engine, *requests)
    outcomes = run(engine, *requests)
    assert [each.generation.cached_tokens for each in outcomes] == [
        (len(request.prompt_ids) - 1) // 16 * 16 for request in requests
    ]
    assert_undisturbed(endless, requests, outcomes)


@pytest.mark.parametrize("prefill_tokens", [16, 40, 1000])
def test_so_it_is_in_chunks_and_when_pages_are_short(prefill_tokens: int, endless: CheckpointModel) -> None:
    requests = [
        replace(each, params=replace(each.params, max_completion_tokens=60), prompt_ids=each.prompt_ids * 3)
        for each in make_requests(12)
    ]
    engine = BatchEngine(
        endless.runtime, endless.make_answer, max_batch=12, pages=CONTEXT_PAGES, prefill_tokens=prefill_tokens
    )
    outcomes = run(engine, *requests)
    assert engine.load().preemptions > 0
    assert_undisturbed(endless, requests, outcomes)


@pytest.mark.parametrize("made_tokens", [1, 16, 30])
def test_it_goes_on_after_what_another_engine_made(made_tokens: int, endless: CheckpointModel) -> None:
    request = Request(tuple(range(21)), SamplingParams(31, temperature=1.1, seed=5))
    engine = endless.make_engine(1)
    begun = submit(engine, request)
    while len(begun.steps) < made_tokens:
        tick(engine, [begun])
    resumed = replace(request, made_ids=tuple(begun.ids))
    outcomes = run(endless.make_engine(4), resumed, *make_requests(3))
    assert_undisturbed(endless, [resumed], outcomes[:1])


RULED = [
    SamplingParams(60, temperature=2.0, seed=1, constraint=Constraint("grammar", 'start: ("ab" | "cd"){20}')),
    SamplingParams(30, temperature=1.5, seed=2, frequency_penalty=1.5, presence_penalty=0.5, top_logprobs=3),
    SamplingParams(30, temperature=1.5, seed=3, top_k=40, min_p=0.02, top_p=0.9, logit_bias=((7, 4.0), (8, -100.0))),
    SamplingParams(30, temperature=0.0, top_logprobs=0),
]


@pytest.mark.parametrize("made_tokens", [0, 9])
def test_rules_and_constraints_hold_in_a_batch_and_after_a_takeover(made_tokens: int, model: CheckpointModel) -> None:
    requests = [Request((0, 40 + index, 50), params) for index, params in enumerate(RULED)]
    whole = [list(model.generate(each.prompt_ids, each.params)) for each in requests]
    assert all(len(steps) > made_tokens for steps in whole)
    begun = [
        replace(each, made_ids=tuple(step.token_id for step in steps[:made_tokens]))
        for each, steps in zip(requests, whole, strict=True)
    ]
    assert_undisturbed(model, begun, run(model.make_engine(4), *begun))


@pytest.mark.parametrize("prompt_ids", [[], [7] * CONTEXT_WINDOW_TOKENS, [-1], [VOCABULARY_TOKENS]])
def test_a_prompt_it_cannot_take_is_refused(prompt_ids: list[int], endless: CheckpointModel) -> None:
    with pytest.raises(PromptError):
        endless.make_engine(2).submit(prompt_ids, SamplingParams(4))


@pytest.mark.parametrize("token_id", [-1, VOCABULARY_TOKENS])
def test_so_is_an_answer_with_ids_that_are_no_tokens(token_id: int, endless: CheckpointModel) -> None:
    with pytest.raises(PromptError):
        endless.make_engine(2).submit([5], SamplingParams(4), made_ids=[token_id])
