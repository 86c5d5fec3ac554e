"""One piece of work for all who ask for it at the same time: group commit, and the same for questions."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

R = TypeVar("R")
T = TypeVar("T")


class Combiner(Generic[T, R]):
    """Answers many async callers with one piece of work: whoever asks while it works is taken by the next
    round, together with all others. Nobody waits for a clock: a single caller's work begins at once.

    `work` answers each of its items, in their order, with a result or the exception to raise.
    """

    MOST = 100  # items of one round

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._work = work
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, list[tuple[T, asyncio.Future[R]]]] = (
            WeakKeyDictionary()
        )
        self._rounds: set[asyncio.Task[None]] = set()

    async def ask(self, item: T) -> R:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = []
            task = loop.create_task(self._serve(loop, waiting))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)
        waiting.append((item, answer))
        return await answer

    async def _serve(self, loop: asyncio.AbstractEventLoop, waiting: list[tuple[T, asyncio.Future[R]]]) -> None:
        """Rounds until nobody waits. The next caller after that begins anew."""
        try:
            while waiting:
                taken = [(item, answer) for item, answer in waiting[: self.MOST] if not answer.cancelled()]
                del waiting[: self.MOST]
                for (_, answer), outcome in zip(taken, await self._work_off([item for item, _ in taken]), strict=True):
                    _give(answer, outcome)
        finally:
            del self._waiting[loop]

    async def _work_off(self, items: list[T]) -> Sequence[R | Exception]:
        """A result or an exception for each item; where the work itself fails, its exception for all."""
        try:
            outcomes = await self._work(items) if items else []
        except Exception as error:
            return [error] * len(items)
        return outcomes


def _give(answer: asyncio.Future[R], outcome: R | Exception) -> None:
    if answer.cancelled():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
