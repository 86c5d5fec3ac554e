"""The engine of a model that makes its answers one at a time."""

import pytest

from lpu_backend.null_model import NullModel
from lpu_backend.types import SamplingParams
from tests.lpu_backend.engine.driving import Request, run, submit, tick

REQUEST = Request((0,) * 5, SamplingParams(100))


def test_the_oldest_run_and_the_others_wait() -> None:
    engine = NullModel().make_engine(2)
    outcomes = [submit(engine, REQUEST) for _ in range(3)]
    assert engine.load()[:2] == (2, 1)
    tick(engine, outcomes)
    assert [len(each.steps) for each in outcomes] == [1, 1, 0]


@pytest.mark.parametrize(("made_tokens", "first_index"), [(0, 0), (5, 5), (15, 15), (16, 15)])
def test_an_answer_goes_on_and_a_whole_ones_last_step_is_made_again(made_tokens: int, first_index: int) -> None:
    resumed = Request(REQUEST.prompt_ids, REQUEST.params, made_ids=tuple(range(made_tokens)))
    outcome = run(NullModel().make_engine(1), resumed)[0]
    assert [step.index for step in outcome.steps] == list(range(first_index, 16))
    assert outcome.steps[-1].finish_reason == "stop"


def test_a_cancelled_answer_is_forgotten() -> None:
    engine = NullModel().make_engine(1)
    engine.cancel(submit(engine, REQUEST).generation)
    assert engine.is_idle
