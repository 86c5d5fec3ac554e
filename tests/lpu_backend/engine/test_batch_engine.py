"""Joining, leaving, sharing and giving back pages, over a runtime whose answers tell what its pages held."""

from dataclasses import replace
from random import Random

import pytest

from lpu_backend.answer import Answer
from lpu_backend.exceptions import PromptError
from lpu_backend.runtime.page_pool import PAGE_TOKENS
from lpu_backend.types import SamplingParams, Step
from tests.lpu_backend.engine.driving import Outcome, Request, finish, run, submit, tick
from tests.lpu_backend.engine.page_reader import (
    CONTEXT_PAGES,
    CONTEXT_TOKENS,
    VOCABULARY_TOKENS,
    PageReader,
    make_engine,
)


def make_request(random: Random, begin: tuple[int, ...] = ()) -> Request:
    """Of a random length; one of two begins with `begin`."""
    length = random.randrange(1, 60)
    ids = [random.randrange(4, VOCABULARY_TOKENS) for _ in range(length)]
    params = SamplingParams(random.randrange(1, 70), temperature=random.choice([0.0, 1.0]), seed=random.randrange(9))
    return Request((*(begin if random.random() < 0.5 else ()), *ids), params)


def make_requests(seed: int, count: int) -> list[Request]:
    random = Random(seed)
    begin = tuple(random.randrange(4, VOCABULARY_TOKENS) for _ in range(50))
    return [make_request(random, begin) for _ in range(count)]


def run_alone(request: Request) -> Outcome:
    return run(make_engine(max_batch=1, pages=CONTEXT_PAGES, prefill_tokens=CONTEXT_TOKENS), request)[0]


def assert_alike(outcomes: list[Outcome], expected: list[Outcome]) -> None:
    for found, alone in zip(outcomes, expected, strict=True):
        assert found.steps == alone.steps
        assert found.generation.digest == alone.generation.digest


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("max_batch", "pages", "prefill_tokens"),
    [(1, CONTEXT_PAGES, 16), (2, CONTEXT_PAGES, 33), (7, CONTEXT_PAGES + 3, 64), (32, 200, 128), (32, 25, 20)],
)
def test_an_answer_is_the_same_whoever_joins_and_leaves(
    seed: int, max_batch: int, pages: int, prefill_tokens: int
) -> None:
    requests = make_requests(seed, 20)
    engine = make_engine(max_batch=max_batch, pages=pages, prefill_tokens=prefill_tokens)
    random, outcomes = Random(seed), list[Outcome]()
    for request in requests:
        outcomes.append(submit(engine, request))
        for _ in range(random.randrange(4)):
            tick(engine, outcomes)
    finish(engine, outcomes)
    assert_alike(outcomes, [run_alone(each) for each in requests])


def test_short_pages_take_turns_and_change_no_answer() -> None:
    requests = [replace(each, params=replace(each.params, max_completion_tokens=90)) for each in make_requests(1, 12)]
    engine = make_engine(max_batch=12, pages=CONTEXT_PAGES)
    outcomes = run(engine, *requests)
    assert engine.load().preemptions > 0
    assert_alike(outcomes, [run_alone(each) for each in requests])


@pytest.mark.parametrize("seed", range(6))
def test_amid_cancellations_faults_and_takeovers_every_other_answer_is_whole(seed: int) -> None:
    random, runtime = Random(seed), PageReader()
    engine = make_engine(max_batch=5, pages=CONTEXT_PAGES + random.randrange(20), prefill_tokens=40, runtime=runtime)
    requests = make_requests(seed, 24)
    expected = [run_alone(each) for each in requests]
    outcomes: list[Outcome] = []
    cancelled: set[Outcome] = set()
    for request, whole in zip(requests, expected, strict=True):
        made_ids = tuple(whole.ids[: random.choice([0, 0, 5, 20])])
        request = replace(request, made_ids=made_ids, salt=random.choice([b"", b"org_a"]))
        outcomes.append(submit(engine, request))
        outcomes[-1].steps += whole.steps[: min(len(made_ids), len(whole.steps) - 1)]
        for _ in range(random.randrange(6)):
            runtime.interruption = MemoryError() if random.random() < 0.02 else None
            tick(engine, [each for each in outcomes if each not in cancelled])
        if random.random() < 0.2:
            victim = random.choice(outcomes)
            engine.cancel(victim.generation)
            cancelled.add(victim)
    runtime.interruption = None
    pairs = [(each, whole) for each, whole in zip(outcomes, expected, strict=True) if each not in cancelled]
    finish(engine, [each for each, _ in pairs])
    healthy = [(each, whole) for each, whole in pairs if each.error is None]
    assert len(healthy) > 5
    assert_alike([each for each, _ in healthy], [whole for _, whole in healthy])


def test_what_a_preempted_answer_finds_of_its_own_is_no_saving() -> None:
    requests = [Request((4 + index,) * 40, SamplingParams(60, temperature=1.5, seed=index)) for index in range(6)]
    engine = make_engine(max_batch=6, pages=CONTEXT_PAGES + 6)
    outcomes = run(engine, *requests)
    assert engine.load().preemptions > 0
    assert [each.generation.cached_tokens for each in outcomes] == [0] * 6


@pytest.mark.parametrize("made_tokens", [0, 1, 15, 16, 17, 39, 40])
@pytest.mark.parametrize("wants_digest", [True, False])
def test_an_answer_that_was_begun_elsewhere_goes_on_with_its_next_token(made_tokens: int, wants_digest: bool) -> None:
    request = Request(tuple(range(4, 36)), SamplingParams(40, temperature=1.5, seed=1), wants_digest=wants_digest)
    whole = run_alone(request)
    assert len(whole.steps) == 40
    neighbours = make_requests(2, 3)

    begun = replace(request, made_ids=tuple(whole.ids[:made_tokens]))
    outcome = run(make_engine(prefill_tokens=32), *neighbours, begun)[-1]

    assert outcome.steps == whole.steps[min(made_tokens, 39) :]
    assert outcome.generation.digest == whole.generation.digest


def test_one_that_was_begun_elsewhere_finds_no_more_of_its_prompt_than_a_new_one() -> None:
    request = Request(tuple(range(4, 36)), SamplingParams(40, temperature=1.5, seed=1), wants_digest=False)
    engine = make_engine()
    first = run(engine, request)[0]
    again, resumed = run(engine, request)[0], run(engine, replace(request, made_ids=tuple(first.ids[:20])))[0]
    assert (again.generation.cached_tokens, resumed.generation.cached_tokens) == (16, 16)


def test_tokens_after_the_end_of_an_answer_are_refused() -> None:
    with pytest.raises(PromptError, match="end of the answer"):
        submit(make_engine(), Request((5, 6), SamplingParams(2), made_ids=(7, 8, 9)))


@pytest.mark.parametrize(("prompt_tokens", "cached_tokens"), [(15, 0), (16, 0), (17, 16), (32, 16), (33, 32), (40, 32)])
def test_whole_pages_of_a_prompt_are_found_again_but_never_its_last_token(
    prompt_tokens: int, cached_tokens: int
) -> None:
    engine = make_engine()
    request = Request(tuple(4 + index % 30 for index in range(prompt_tokens)), SamplingParams(5))
    first, second = run(engine, request)[0], run(engine, request)[0]
    assert (first.generation.cached_tokens, second.generation.cached_tokens) == (0, cached_tokens)
    assert (engine.load().hit_tokens, engine.load().missed_tokens) == (cached_tokens, 2 * prompt_tokens - cached_tokens)
    assert_alike([second], [first])


def test_the_next_turn_of_a_conversation_finds_the_answer_too() -> None:
    engine = make_engine()
    first = run(engine, Request(tuple(range(4, 20)), SamplingParams(20, temperature=1.5, seed=1)))[0]
    assert len(first.ids) == 20
    # The last token of an answer was never run: 35 tokens are filled, two whole pages.
    turn = Request((*range(4, 20), *first.ids, 9, 9, 9), SamplingParams(5))
    second = run(engine, turn)[0]
    assert second.generation.cached_tokens == 32
    assert_alike([second], [run_alone(turn)])


def test_a_salt_separates() -> None:
    engine = make_engine()
    request = Request(tuple(range(4, 38)), SamplingParams(5), salt=b"org_a")
    cached_tokens = [
        run(engine, replace(request, salt=salt))[0].generation.cached_tokens
        for salt in (b"org_a", b"org_b", b"", b"org_a", b"org_b")
    ]
    assert cached_tokens == [0, 0, 0, 32, 32]


def test_running_answers_share_the_pages_of_a_beginning() -> None:
    engine = make_engine(max_batch=3)
    request = Request(tuple(4 + index % 30 for index in range(64)), SamplingParams(10, temperature=0.0))
    outcomes = [submit(engine, request)]
    tick(engine, outcomes)
    outcomes += [submit(engine, request), submit(engine, request)]
    tick(engine, outcomes)
    # Five pages of the first, which decodes; the others have the prompt's last page for themselves.
    assert engine.load().used_pages == 5 + 2
    finish(engine, outcomes)
    assert [outcome.generation.cached_tokens for outcome in outcomes] == [0, 48, 48]


def test_one_prompt_several_times_at_once_is_computed_once_but_for_its_last_page() -> None:
    engine = make_engine(max_batch=8, prefill_tokens=32)
    request = Request(tuple(4 + index % 30 for index in range(128)), SamplingParams(3))
    run(engine, *[request] * 8)
    assert engine.load().missed_tokens == 128 + 7 * 16


def test_what_was_used_longest_ago_makes_room() -> None:
    engine = make_engine(max_batch=1, pages=CONTEXT_PAGES)
    prompts = [Request((first, *[7] * 79), SamplingParams(1)) for first in (4, 5, 6)]
    for request in prompts:
        run(engine, request)
    assert run(engine, prompts[2])[0].generation.cached_tokens == 64
    assert run(engine, prompts[0])[0].generation.cached_tokens == 0


def test_the_end_of_a_prompt_makes_room_before_its_beginning() -> None:
    engine = make_engine(max_batch=1, pages=CONTEXT_PAGES)
    first, second = Request((4, *[7] * 79), SamplingParams(1)), Request((5, *[7] * 111), SamplingParams(1))
    run(engine, first)
    run(engine, second)
    assert run(engine, first)[0].generation.cached_tokens == 48


def test_a_cancelled_answer_frees_its_pages() -> None:
    engine = make_engine(max_batch=1)
    request = Request((5,) * 20, SamplingParams(30, temperature=1.5, seed=1))
    running, waiting = submit(engine, request), submit(engine, request)
    for _ in range(3):
        tick(engine, [running, waiting])
    assert engine.load()[:2] == (1, 1)
    engine.cancel(waiting.generation)
    engine.cancel(running.generation)
    assert engine.is_idle
    assert engine.load().used_pages == 0
    engine.cancel(running.generation)
    assert_alike(run(engine, request), [run_alone(request)])


def test_at_most_so_many_run_and_the_others_wait_in_order() -> None:
    engine = make_engine(max_batch=2)
    outcomes = [submit(engine, Request((5 + index,), SamplingParams(3, temperature=0.0))) for index in range(5)]
    begun: list[Outcome] = []
    while not engine.is_idle:
        tick(engine, outcomes)
        assert engine.load().running <= 2
        begun += [each for each in outcomes if each.steps and each not in begun]
    assert begun == outcomes


@pytest.mark.parametrize("prefill_tokens", [16, 50, 64])
def test_a_long_prompt_does_not_stall_a_running_stream(prefill_tokens: int) -> None:
    runtime = PageReader()
    engine = make_engine(prefill_tokens=prefill_tokens, runtime=runtime)
    stream = submit(engine, Request((5,), SamplingParams(20, temperature=1.5, seed=6)))
    tick(engine, [stream])
    long = submit(engine, Request((6,) * 150, SamplingParams(1)))
    while not long.steps:
        made = len(stream.steps)
        tick(engine, [stream, long])
        assert len(stream.steps) == made + 1
    assert max(runtime.run_tokens) <= prefill_tokens + 1


def test_prompts_share_the_tokens_of_a_step() -> None:
    runtime = PageReader()
    run(
        make_engine(max_batch=8, runtime=runtime),
        *[Request((4 + index,) * 30, SamplingParams(1)) for index in range(8)],
    )
    assert runtime.run_tokens == [60, 60, 60, 60]


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    engine = make_engine(prefill_tokens=64)
    long, short = (
        submit(engine, Request((6,) * 150, SamplingParams(1))),
        submit(engine, Request((7,) * 20, SamplingParams(1))),
    )
    tick(engine, [long, short])
    assert (len(long.steps), len(short.steps)) == (0, 1)


def test_a_fault_of_one_answer_stays_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = Answer.choose

    def fail(answer: Answer, logits: object) -> Step:
        if answer._params.seed == 99 and answer.tokens_made == 2:
            raise ArithmeticError("no token is left")
        return choose(answer, logits)

    healthy = make_requests(3, 3)
    expected = [run_alone(each) for each in healthy]
    monkeypatch.setattr(Answer, "choose", fail)
    ill = Request((5, 6), SamplingParams(30, temperature=1.5, seed=99))
    outcomes = run(make_engine(), healthy[0], ill, *healthy[1:])
    failed = outcomes.pop(1)
    assert isinstance(failed.error, ArithmeticError)
    assert len(failed.steps) == 2
    assert_alike(outcomes, expected)


def test_a_fault_of_the_forward_pass_fails_those_it_ran_and_nobody_after() -> None:
    runtime = PageReader()
    engine = make_engine(max_batch=2, runtime=runtime)
    request = Request((5,) * 40, SamplingParams(20, temperature=1.5, seed=1))
    outcomes = [submit(engine, request) for _ in range(3)]
    tick(engine, outcomes)
    runtime.interruption = MemoryError()
    finish(engine, outcomes)
    assert [type(each.error) for each in outcomes] == [MemoryError, MemoryError, type(None)]
    assert_alike(outcomes[2:], [run_alone(request)])


def test_a_step_that_was_interrupted_is_taken_again() -> None:
    runtime = PageReader()
    engine = make_engine(runtime=runtime)
    requests = [Request((5,) * 70, SamplingParams(20, temperature=1.5, seed=seed)) for seed in range(3)]
    outcomes = [submit(engine, each) for each in requests]
    for _ in range(4):
        runtime.interruption = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            tick(engine, outcomes)
        tick(engine, outcomes)
    finish(engine, outcomes)
    assert_alike(outcomes, [run_alone(each) for each in requests])


def test_a_pool_that_does_not_hold_a_context_is_refused() -> None:
    with pytest.raises(ValueError, match="9 pages do not hold a context of 160 tokens"):
        make_engine(pages=CONTEXT_TOKENS // PAGE_TOKENS - 1)


def test_an_answer_may_fill_the_whole_context_beside_others() -> None:
    requests = [
        Request((5 + index,), SamplingParams(CONTEXT_TOKENS, temperature=9.0, seed=index)) for index in range(6)
    ]
    outcomes = run(make_engine(max_batch=6, pages=CONTEXT_PAGES), *requests)
    assert_alike(outcomes, [run_alone(each) for each in requests])
    assert any(each.steps[-1].finish_reason == "length" for each in outcomes)
