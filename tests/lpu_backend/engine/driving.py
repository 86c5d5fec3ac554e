"""Running an engine to its end, with what must hold after every tick."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lpu_backend.types import Engine, Generation, SamplingParams, Step


@dataclass(frozen=True)
class Request:
    prompt_ids: tuple[int, ...]
    params: SamplingParams
    made_ids: tuple[int, ...] = ()
    wants_digest: bool = True
    salt: bytes = b""


@dataclass(eq=False)
class Outcome:
    """What came of a request."""

    generation: Generation
    steps: list[Step] = field(default_factory=list)
    error: Exception | None = None

    @property
    def ids(self) -> list[int]:
        return [step.token_id for step in self.steps]

    @property
    def is_ended(self) -> bool:
        return self.error is not None or bool(self.steps and self.steps[-1].finish_reason)


def submit(engine: Engine, request: Request) -> Outcome:
    return Outcome(
        engine.submit(
            request.prompt_ids,
            request.params,
            made_ids=request.made_ids,
            wants_digest=request.wants_digest,
            cache_salt=request.salt,
        )
    )


def tick(engine: Engine, outcomes: Sequence[Outcome]) -> None:
    """One tick, each product to its outcome; the pages add up before and after."""
    before = engine.load()
    by_generation = {outcome.generation: outcome for outcome in outcomes}
    for generation, steps, error in engine.tick():
        outcome = by_generation[generation]
        assert not outcome.is_ended
        outcome.steps += steps
        outcome.error = error
    after = engine.load()
    assert before[2] + before[3] + before[4] == after.used_pages + after.cached_pages + after.free_pages
    assert min(after) >= 0


def finish(engine: Engine, outcomes: Sequence[Outcome]) -> None:
    """Until nothing is left: every page is given back."""
    while not engine.is_idle:
        tick(engine, outcomes)
    assert engine.load().used_pages == 0
    assert all(outcome.is_ended for outcome in outcomes)


def run(engine: Engine, *requests: Request) -> list[Outcome]:
    """All of them together."""
    outcomes = [submit(engine, request) for request in requests]
    finish(engine, outcomes)
    return outcomes
