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
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection

from inference.combining import Combiner

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


def combined(work: Callable[[Sequence[T]], Sequence[R | Exception]]) -> Combiner[T, R]:
    """Runs `work` on a database thread for all callers that ask while its last round is under way."""

    async def work_off(items: Sequence[T]) -> Sequence[R | Exception]:
        return await on_database(work, items)

    return Combiner(work_off)


@contextmanager
def write_turn() -> Iterator[None]:
    """One writing thread at a time, on SQLite: it makes a writer that finds the database locked sleep and try again,
    which under load costs a hundred times the write itself. Other processes still meet at SQLite's own lock."""
    if connection.vendor != "sqlite":
        yield
        return
    with _writing:
        yield
