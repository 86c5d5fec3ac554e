"""Running an engine to its end, with what must hold after every tick."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lpu_backend.engine.batch_engine import BatchEngine
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
    by_generation = {outcome.generation: outcome for outcome in outcomes}
    for generation, steps, error in engine.tick():
        outcome = by_generation[generation]
        assert not outcome.is_ended
        outcome.steps += steps
        outcome.error = error
    if isinstance(engine, BatchEngine):
        assert_pages_add_up(engine)


def assert_pages_add_up(engine: BatchEngine) -> None:
    """Each page is held as often as running generations have it, or kept, or free."""
    pages, load = engine._pages, engine.load()
    held = Counter(page for each in engine._running for page in each.pages)
    assert held == {page: count for page, count in enumerate(pages._holders) if count}
    assert load.used_pages == len(held)
    assert load.used_pages + load.cached_pages + load.free_pages == pages.pages
    assert not held.keys() & {*pages._free, *pages._kept}
    assert not any(each.pages for each in engine._waiting)


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
