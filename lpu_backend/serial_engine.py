"""An engine over a model that makes its answers one at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lpu_backend.types import EngineLoad, Generation, Produced, SamplingParams, Step

Generate = Callable[[Sequence[int], SamplingParams], Iterator[Step]]


@dataclass(eq=False, slots=True)
class _Generation:
    steps: Iterator[Step]
    made_tokens: int
    cached_tokens: int = 0
    digest: str = ""


class SerialEngine:
    """Every tick, the next step of each of the oldest `max_batch` answers."""

    def __init__(self, generate: Generate, max_batch: int) -> None:
        self._generate, self._max_batch = generate, max_batch
        self._generations: list[_Generation] = []

    @property
    def is_idle(self) -> bool:
        return not self._generations

    def submit(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        made_ids: Sequence[int] = (),
        wants_digest: bool = False,
        cache_salt: bytes = b"",
    ) -> Generation:
        generation = _Generation(self._generate(prompt_ids, params), len(made_ids))
        self._generations.append(generation)
        return generation

    def load(self) -> EngineLoad:
        running = min(len(self._generations), self._max_batch)
        return EngineLoad(running, len(self._generations) - running)

    def cancel(self, generation: Generation) -> None:
        self._generations = [each for each in self._generations if each is not generation]

    def tick(self) -> list[Produced]:
        produced = [_advance(each) for each in self._generations[: self._max_batch]]
        for each in produced:
            if each.error or each.steps[-1].finish_reason:
                self.cancel(each.generation)
        return produced


def _advance(generation: _Generation) -> Produced:
    """Steps that are known already are made again, silently but for the last one of a whole answer."""
    try:
        step = next(step for step in generation.steps if step.index >= generation.made_tokens or step.finish_reason)
    except Exception as error:
        return Produced(generation, [], error)
    return Produced(generation, [step])
