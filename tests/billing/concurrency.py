"""Real threads on the real database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connection

Outcome = TypeVar("Outcome")


def run_at_once(*calls: Callable[[], Outcome]) -> list[Outcome | Exception]:
    """Runs each call on a thread of its own, released together; answers what each returned or raised, in order."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Outcome]) -> Outcome | Exception:
        barrier.wait()
        try:
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
