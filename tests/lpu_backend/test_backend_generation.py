"""Answers: their tokens, their text and their endings."""

import threading
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import lpu_backend.runtime.graph_model
from lpu_backend import PromptError, SamplingParams, Step
from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.runtime.sampling import sample_token
from tests.lpu_backend.tiny_checkpoint import CONTEXT_WINDOW_TOKENS, VOCABULARY_TOKENS, WriteCheckpoint

PROMPT = [0, 40, 50, 60]
WARM = SamplingParams(max_completion_tokens=200, temperature=1.3, seed=11)


@pytest.fixture
def endless(write_checkpoint: WriteCheckpoint) -> CheckpointModel:
    """A model without an end of turn."""
    return read_model(write_checkpoint(eos_token_id=None))


def run(model: CheckpointModel, params: SamplingParams, prompt: list[int] = PROMPT) -> list[Step]:
    return list(model.generate(prompt, params))


def text_of(steps: list[Step]) -> str:
    return "".join(step.text for step in steps)


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others(endless: CheckpointModel) -> None:
    assert run(endless, WARM) == run(endless, WARM)
    other = SamplingParams(max_completion_tokens=200, temperature=1.3, seed=12)
    assert [step.token_id for step in run(endless, other)] != [step.token_id for step in run(endless, WARM)]


def test_temperature_zero_ignores_the_seed(endless: CheckpointModel) -> None:
    answers = [run(endless, SamplingParams(max_completion_tokens=32, temperature=0.0, seed=seed)) for seed in (1, 2)]
    assert answers[0] == answers[1]


def test_steps_are_numbered_and_only_the_last_has_a_finish_reason(endless: CheckpointModel) -> None:
    steps = run(endless, WARM)
    assert [step.index for step in steps] == list(range(200))
    assert [step.finish_reason for step in steps] == [None] * 199 + ["length"]


@pytest.mark.parametrize("seed", range(5))
def test_the_texts_join_to_the_full_decode(seed: int, endless: CheckpointModel, tokenizer_json: str) -> None:
    # A random model mixes whole characters with bytes that never complete one.
    steps = run(endless, SamplingParams(max_completion_tokens=300, temperature=2.0, seed=seed))
    expected = Tokenizer.from_str(tokenizer_json).decode([step.token_id for step in steps], skip_special_tokens=True)
    assert text_of(steps) == expected


def test_text_is_released_before_the_end(endless: CheckpointModel) -> None:
    steps = run(endless, WARM)
    assert text_of(steps[:100])


def test_the_end_of_turn_is_counted_and_shows_no_text(checkpoint: Path, write_checkpoint: WriteCheckpoint) -> None:
    free = run(read_model(write_checkpoint(eos_token_id=None)), WARM)
    end_id = free[30].token_id
    first = next(step.index for step in free if step.token_id == end_id)
    steps = run(read_model(write_checkpoint(eos_token_id=[end_id, VOCABULARY_TOKENS - 1])), WARM)
    assert [step.token_id for step in steps] == [step.token_id for step in free[: first + 1]]
    assert (steps[-1].token_id, steps[-1].finish_reason) == (end_id, "stop")
    assert text_of(steps).rstrip("\ufffd") == text_of(free[:first]).rstrip("\ufffd")


def test_a_stop_string_across_tokens_hides_itself_and_what_follows(endless: CheckpointModel) -> None:
    text = text_of(run(endless, WARM))
    stop = text[40:52]
    steps = run(endless, SamplingParams(max_completion_tokens=200, temperature=1.3, seed=11, stop=("never", stop)))
    assert text_of(steps) == text[: text.index(stop)]
    assert steps[-1].finish_reason == "stop"
    assert sum(bool(step.text) for step in steps) < len(steps) < 200


def test_a_stop_string_that_never_comes_changes_nothing(endless: CheckpointModel) -> None:
    stop = ("\x00\x01never", text_of(run(endless, WARM))[-5:] + "x")
    steps = run(endless, SamplingParams(max_completion_tokens=200, temperature=1.3, seed=11, stop=stop))
    assert text_of(steps) == text_of(run(endless, WARM))
    assert steps[-1].finish_reason == "length"


def test_an_answer_ends_at_the_context_window(endless: CheckpointModel) -> None:
    prompt = [7] * (CONTEXT_WINDOW_TOKENS - 3)
    steps = run(endless, SamplingParams(max_completion_tokens=100), prompt)
    assert [step.finish_reason for step in steps] == [None, None, "length"]


@pytest.mark.parametrize(
    "prompt", [[], [7] * CONTEXT_WINDOW_TOKENS, [-1], [VOCABULARY_TOKENS]], ids=["empty", "full", "negative", "unknown"]
)
def test_a_prompt_it_cannot_take_is_refused_at_the_call(prompt: list[int], endless: CheckpointModel) -> None:
    with pytest.raises(PromptError):
        endless.generate(prompt, WARM)


@pytest.mark.parametrize("chunk_tokens", [1, 7, 100])
def test_the_prefill_chunk_does_not_change_the_answer(
    chunk_tokens: int, endless: CheckpointModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = [index % VOCABULARY_TOKENS for index in range(300)]
    params = SamplingParams(max_completion_tokens=16, temperature=0.0)
    expected = run(endless, params, prompt)
    monkeypatch.setattr(lpu_backend.runtime.graph_model, "PREFILL_CHUNK_TOKENS", chunk_tokens)
    assert run(endless, params, prompt) == expected


def test_an_answer_goes_on_alike_from_its_own_beginning(endless: CheckpointModel) -> None:
    # The draw depends on the place in the sequence, so a takeover may put the first tokens into the prompt.
    whole = [step.token_id for step in run(endless, WARM)]
    rest = run(endless, SamplingParams(max_completion_tokens=50, temperature=1.3, seed=11), PROMPT + whole[:150])
    assert [step.token_id for step in rest] == whole[150:]


def test_threads_that_share_a_model_do_not_disturb_each_other(endless: CheckpointModel) -> None:
    params = [SamplingParams(max_completion_tokens=60, seed=seed) for seed in range(4)]
    expected = [run(endless, each) for each in params]
    found: dict[int, list[Step]] = {}
    threads = [
        threading.Thread(target=lambda i=i, each=each: found.update({i: run(endless, each)}))
        for i, each in enumerate(params)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(4)] == expected


def test_every_token_is_sampled_from_the_models_own_logits(endless: CheckpointModel) -> None:
    logits = endless.runtime.advance(PROMPT, endless.runtime.make_cache())
    assert run(endless, WARM)[0].token_id == sample_token(logits, WARM, position=len(PROMPT))
