"""Tokens on their way to the readers: all jobs' new ones in one round trip, which brings back who went away and whose
chips failed."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Condition
from typing import NamedTuple

from redis.exceptions import RedisError

from inference.runs import Run
from inference.settling import Settler
from inference.streams import Signals, Written, write_entries
from lpu_backend import Step

logger = logging.getLogger(__name__)

RETRY_S = 0.2


class Made(NamedTuple):
    """The next steps of one choice of a job."""

    run: Run
    choice: int
    steps: list[Step]


class Publisher:
    """Takes steps from the engines' threads; `publish` writes what is due."""

    def __init__(self, settler: Settler, withdraw: Callable[[Run], None]) -> None:
        """`withdraw` takes a job from its engine that need not be computed any further."""
        self._settler, self._withdraw = settler, withdraw
        self._changed = Condition()
        self._runs: set[Run] = set()
        self._is_stopping = False

    def hand_over(self, made: Sequence[Made]) -> None:
        with self._changed:
            for run, choice, steps in made:
                if not run.has_ended:
                    run.add(choice, steps)
                    self._runs.add(run)
            self._changed.notify()

    def _end(self, run: Run) -> bool:
        """Nothing more is written for it; False if it had ended already."""
        with self._changed:
            self._runs.discard(run)
            is_first, run.has_ended = not run.has_ended, True
        return is_first

    def run(self) -> None:
        """The thread's life."""
        while self._await_due():
            try:
                self.publish()
            except RedisError:
                return

    def stop(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def publish(self, *, is_forced: bool = False) -> bool:
        """Writes what is due, or everything; whether there was anything."""
        with self._changed:
            now_s = time.monotonic()
            due = [run for run in self._runs if is_forced or run.due_s() <= now_s]
            entries = [run.take(now_s) for run in due]
        if not due:
            return False
        try:
            written = self._write(due, entries)
        except RedisError:
            raise
        except Exception as error:
            for run in due:
                self.leave(run, partial(self._settler.fail, run.job, because=error))
            return True
        for run, signals in zip(due, written, strict=True):
            self._act(run, signals)
        return True

    def _act(self, run: Run, signals: Signals) -> None:
        """After the last token nothing stops a job any more."""
        deployment = run.job.deployment
        with self._changed:
            is_complete = run.is_complete
        if is_complete:
            self.leave(run, partial(self._settler.complete, run))
        elif signals.is_cancelled:
            self.leave(run, partial(self._settler.cancel, run))
        elif deployment and signals.generation > deployment.generation:
            logger.warning("A chip failed under job %s; it goes on elsewhere.", run.job.pk)
            self.leave(run, partial(self._settler.put_back, run.job))

    def leave(self, run: Run, leave: Callable[[], None]) -> None:
        """Ends it by `leave`, unless it has ended already."""
        if self._end(run):
            self._withdraw(run)
            leave()

    def _write(self, due: Sequence[Run], entries: list[Written]) -> list[Signals]:
        """Until Redis answers. It may have lost what was written before: then all is written again."""
        while True:
            try:
                return write_entries(entries)
            except RedisError as error:
                logger.warning("Tokens wait for Redis: %s", type(error).__name__)
                with self._changed:
                    if self._is_stopping:
                        raise
                    entries = [run.repeat(entry) for run, entry in zip(due, entries, strict=True)]
                    self._changed.wait(RETRY_S)

    def _await_due(self) -> bool:
        with self._changed:
            while not self._is_stopping:
                next_s = min((run.due_s() for run in self._runs), default=float("inf"))
                wait_s = next_s - time.monotonic()
                if wait_s <= 0:
                    return True
                self._changed.wait(None if wait_s == float("inf") else wait_s)
        return False
