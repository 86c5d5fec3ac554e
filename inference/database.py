"""Database work of async views, on a few threads that keep their connections.

Django gives every async request a thread and a connection of its own; opening both costs more than the queries of a
chat completion. These threads are as many as the database can use at once; the queue before them is back-pressure.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from django.db import InterfaceError, OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

THREADS = 4
_writing = Lock()
_executor = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="database")


async def on_database(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs `work` on a database thread. A connection that broke is dropped, so that the next call opens a fresh one."""
    return await asyncio.get_running_loop().run_in_executor(_executor, partial(_run, work, *args, **kwargs))


def _run(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return work(*args, **kwargs)
    except (InterfaceError, OperationalError):
        connection.close()
        raise


class Combiner(Generic[T, R]):
    """Answers many async callers with one piece of database work: whoever asks while it works is taken by the next
    round, together with all others. Nobody waits for a clock: a single caller's work begins at once.

    `work` answers each of its items, in their order, with a result or the exception to raise.
    """

    MOST = 100  # items of one round

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R | Exception]]) -> None:
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
            outcomes = await on_database(self._work, items) if items else []
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


@contextmanager
def write_turn() -> Iterator[None]:
    """One writing thread at a time, on SQLite: it makes a writer that finds the database locked sleep and try again,
    which under load costs a hundred times the write itself. Other processes still meet at SQLite's own lock."""
    if connection.vendor != "sqlite":
        yield
        return
    with _writing:
        yield
