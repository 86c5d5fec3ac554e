"""Continuous batching: answers join and leave between two steps, and all that are there share each step's weights."""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

from lpu_backend.answer import Answer
from lpu_backend.engine.generation import BatchGeneration
from lpu_backend.engine.page_allocator import PageAllocator
from lpu_backend.exceptions import PromptError
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.runtime.numerics import Floats
from lpu_backend.runtime.page_pool import PAGE_TOKENS, TokenRun
from lpu_backend.types import EngineLoad, Generation, Produced, SamplingParams

MakeAnswer = Callable[[Sequence[int], SamplingParams], Answer]
"""For a prompt. Raises PromptError, SamplingParamsError."""
PREFILL_TOKENS = 64
"""Of prompts in one step (chosen): a stream that decodes waits so long at most."""


class _Share(NamedTuple):
    """What one generation runs in a step."""

    generation: BatchGeneration
    tokens: int


class BatchEngine:
    """At most `max_batch` answers run, oldest first, and at most `prefill_tokens` of prompts in one step; more wait.

    Keys and values lie in `pages` pages. When those are short, the youngest answer gives its own back and waits; it
    then goes on with the same bits. ValueError if a whole context does not fit.
    """

    def __init__(
        self,
        runtime: GraphModel,
        make_answer: MakeAnswer,
        *,
        max_batch: int,
        pages: int,
        prefill_tokens: int = PREFILL_TOKENS,
    ) -> None:
        if pages * PAGE_TOKENS < runtime.graph.context_window:
            raise ValueError(f"{pages} pages do not hold a context of {runtime.graph.context_window} tokens")
        if max_batch < 1 or prefill_tokens < PAGE_TOKENS:
            raise ValueError(f"a batch of at least 1 and a prefill of at least {PAGE_TOKENS} tokens are needed")
        self._runtime, self._make_answer = runtime, make_answer
        self._max_batch, self._prefill_tokens = max_batch, prefill_tokens
        self._pool = runtime.make_pool(pages)
        self._pages = PageAllocator(pages)
        self._running: list[BatchGeneration] = []
        self._waiting: deque[BatchGeneration] = deque()
        self._hit_tokens = self._missed_tokens = self._preemptions = 0

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._waiting

    def load(self) -> EngineLoad:
        pages = self._pages
        return EngineLoad(
            running=len(self._running),
            waiting=len(self._waiting),
            used_pages=pages.pages - pages.available_pages,
            cached_pages=pages.cached_pages,
            free_pages=pages.free_pages,
            hit_tokens=self._hit_tokens,
            missed_tokens=self._missed_tokens,
            preemptions=self._preemptions,
        )

    def submit(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        made_ids: Sequence[int] = (),
        wants_digest: bool = False,
        cache_salt: bytes = b"",
    ) -> Generation:
        """As Engine.submit. If `made_ids` are a whole answer, its last step is made again."""
        answer = self._make_answer(prompt_ids, params)
        vocabulary = self._runtime.graph.vocabulary
        if made_ids and not 0 <= min(made_ids) <= max(made_ids) < vocabulary:
            raise PromptError(f"an id of the answer that was begun lies outside the vocabulary of {vocabulary} tokens")
        steps = [answer.add(token_id) for token_id in made_ids]
        if any(step.finish_reason for step in steps[:-1]):
            raise PromptError("tokens follow the end of the answer that was begun")
        if steps and steps[-1].finish_reason:
            answer = self._make_answer(prompt_ids, params)
            made_ids = made_ids[:-1]
            for token_id in made_ids:
                answer.add(token_id)
        generation = BatchGeneration(prompt_ids, made_ids, answer, salt=cache_salt, wants_digest=wants_digest)
        self._waiting.append(generation)
        return generation

    def cancel(self, generation: Generation) -> None:
        for each in self._running:
            if each is generation:
                self._end(each)
                return
        self._waiting = deque(each for each in self._waiting if each is not generation)

    def tick(self) -> list[Produced]:
        shares = self._share_step()
        if not shares:
            return []
        try:
            logits = self._compute(shares)
        except Exception as error:  # whatever it was, nothing of this step can be trusted
            return [self._fail(share.generation, error) for share in shares]
        produced, row = [], 0
        for generation, tokens in shares:
            rows = _count_rows(generation, tokens)
            self._fill(generation, tokens)
            if rows:
                produced += self._take_logits(generation, logits[row : row + rows])
                row += rows
        return produced

    def _share_step(self) -> list[_Share]:
        """Who runs how many tokens, with pages for all of them."""
        shares: list[_Share] = []
        pending: set[bytes] = set()
        budget_tokens = self._prefill_tokens
        index = 0
        while index < len(self._running) or self._admit(budget_tokens):
            generation = self._running[index]
            index += 1
            is_prefill = generation.missing_tokens > 1
            if is_prefill:
                self._find_pages(generation)
                if next(generation.iterate_findable_keys(), None) in pending:
                    continue  # another one fills that page in this step: it is found in the next
            tokens = self._choose_tokens(generation, budget_tokens)
            if not tokens:
                continue
            if not self._grow(generation, tokens):
                break
            shares.append(_Share(generation, tokens))
            if is_prefill:
                budget_tokens -= tokens
                pending.update(generation.list_keys_of_next(tokens))
        return shares

    def _choose_tokens(self, generation: BatchGeneration, budget_tokens: int) -> int:
        """All it misses, or whole pages of that: half of what is left, so that a long prompt lets others begin."""
        missing = generation.missing_tokens
        if missing == 1 or missing <= budget_tokens:
            return missing
        if budget_tokens < PAGE_TOKENS:
            return 0
        share_tokens = budget_tokens // 2 if self._is_followed(generation) else budget_tokens
        return max(share_tokens // PAGE_TOKENS, 1) * PAGE_TOKENS

    def _is_followed(self, generation: BatchGeneration) -> bool:
        """Whether a younger one has a prompt to run, or could begin."""
        if self._waiting and len(self._running) < self._max_batch:
            return True
        younger = takewhile(lambda each: each is not generation, reversed(self._running))
        return any(each.missing_tokens > 1 for each in younger)

    def _admit(self, budget_tokens: int) -> bool:
        """Let the next one run, if there is one, and room for it."""
        if not self._waiting or len(self._running) == self._max_batch or budget_tokens < PAGE_TOKENS:
            return False
        if self._running and not self._has_room(self._waiting[0]):
            return False
        self._running.append(self._waiting.popleft())
        return True

    def _has_room(self, generation: BatchGeneration) -> bool:
        """Whether there are pages for all its ids, beside those that the running ones still need, and one for each."""
        found = self._list_found(generation)
        available = self._pages.available_pages - sum(not self._pages.is_held(page) for page in found)
        promised = sum(each.needed_pages - len(each.pages) for each in self._running) + len(self._running)
        return available - promised >= generation.needed_pages - len(found)

    def _list_found(self, generation: BatchGeneration) -> list[int]:
        """Pages that are filled already, of those that it needs next."""
        found: list[int] = []
        for key in generation.iterate_findable_keys():
            if (page := self._pages.find(key)) is None:
                break
            found.append(page)
        return found

    def _find_pages(self, generation: BatchGeneration) -> None:
        before_tokens = generation.cached_tokens
        for page in self._list_found(generation):
            self._pages.hold(page)
            generation.add_found_page(page)
        self._hit_tokens += generation.cached_tokens - before_tokens

    def _grow(self, generation: BatchGeneration, tokens: int) -> bool:
        """Get pages for so many more tokens, from younger ones if there is no other way. False if it is the youngest
        itself that had to give."""
        while len(generation.pages) * PAGE_TOKENS < generation.filled_tokens + tokens:
            if (page := self._pages.take()) is not None:
                generation.pages.append(page)
                continue
            youngest = self._running.pop()
            self._waiting.appendleft(youngest)
            self._release_pages(youngest)
            self._preemptions += 1
            if youngest is generation:
                return False
        return True

    def _compute(self, shares: list[_Share]) -> Floats:
        """The logits that are needed, [rows, vocabulary], in the order of the shares."""
        runs = []
        needed: list[int] = []
        end_row = 0
        for generation, tokens in shares:
            begin = generation.filled_tokens
            token_ids = generation.ids[begin : begin + tokens]
            runs.append(TokenRun(token_ids, begin, generation.page_table))
            end_row += tokens
            needed += range(end_row - _count_rows(generation, tokens), end_row)
        hidden = self._runtime.compute_hidden(runs, self._pool)
        if not needed:
            return hidden[:0]
        return self._runtime.compute_logits(hidden if len(needed) == end_row else hidden[needed])

    def _fill(self, generation: BatchGeneration, tokens: int) -> None:
        """The tokens' keys and values are there: full pages may be found from now on."""
        if generation.filled_tokens < generation.prompt_tokens:
            self._missed_tokens += min(tokens, generation.prompt_tokens - generation.filled_tokens)
        generation.filled_tokens += tokens
        while (generation.published_pages + 1) * PAGE_TOKENS <= generation.filled_tokens:
            index = generation.published_pages
            self._pages.publish(generation.pages[index], generation.get_key(index))
            generation.published_pages += 1

    def _take_logits(self, generation: BatchGeneration, logits: Floats) -> list[Produced]:
        try:
            steps = [step for row in logits if (step := generation.take_logits(row))]
        except Exception as error:  # of its sampling or its constraint: the others do not suffer from it
            return [self._fail(generation, error)]
        if not steps:
            return []
        if steps[-1].finish_reason:
            self._end(generation)
        return [Produced(generation, steps)]

    def _fail(self, generation: BatchGeneration, error: Exception) -> Produced:
        self._end(generation)
        return Produced(generation, [], error)

    def _end(self, generation: BatchGeneration) -> None:
        self._running = [each for each in self._running if each is not generation]
        self._release_pages(generation)

    def _release_pages(self, generation: BatchGeneration) -> None:
        """The last ones first: a beginning serves more of those to come than what follows it."""
        for page in reversed(generation.forget_pages()):
            self._pages.release(page)


def _count_rows(generation: BatchGeneration, tokens: int) -> int:
    """Of the next so many tokens, those whose logits are needed: the last ones."""
    return max(0, generation.filled_tokens + tokens - generation.logits_position)
