"""How jobs leave a worker: settled, many in one transaction, and only then their readers told; or put back to wait."""

import logging
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Condition
from typing import Literal

from django.db import InterfaceError, OperationalError, connection
from redis.exceptions import RedisError

from inference.check_marks import record_answers
from inference.dispatch import finish_jobs, put_back, release_jobs, ticket_of
from inference.exceptions import ProgramChangedError
from inference.kept_content import Completed
from inference.models import Deployment, Job
from inference.payloads import seal_payload
from inference.runs import Run
from inference.selectors import ending_of
from inference.services import JobEnding, end_jobs, put_back_job
from inference.types import Held
from lpu_backend import CheckpointError

logger = logging.getLogger(__name__)

RETRY_S = 0.2
IDLE_S = 2.0  # after which the thread lets go of its database connection


@dataclass(frozen=True, slots=True)
class Leaving:
    """A job that leaves: to be `settled` with its ending (none: it had ended before), to wait again (`put_back`), or to
    somebody who holds it now (`lost`)."""

    job: Job
    kind: Literal["settled", "put_back", "lost"]
    ending: JobEnding | None = None
    completed: Completed | None = None  # if it is to be kept or checked

    @property
    def held(self) -> Held:
        return Held(self.job.pk, self.job.deployment_id or 0)


class Settler:
    """Takes jobs from any thread; `settle` does the work, for whatever has come together meanwhile."""

    def __init__(self, forget: Callable[[Sequence[Held]], None]) -> None:
        """`forget` is told of jobs whose leases are to be renewed no longer, before they are given back."""
        self._forget = forget
        self._changed = Condition()
        self._leaving: list[Leaving] = []
        self._is_stopping = False

    def complete(self, run: Run) -> None:
        self._end(run, Job.State.COMPLETED, finish_reason=run.finish_reason)

    def cancel(self, run: Run) -> None:
        """The client went away: the tokens made are billed."""
        self._end(run, Job.State.CANCELLED)

    def drop(self, job: Job) -> None:
        """The client went away before anything was asked of the model."""
        self._put(Leaving(job, "settled", JobEnding(job, Job.State.CANCELLED, None)))

    def fail(self, job: Job, error_code: str = "engine_fault", *, because: Exception | None = None) -> None:
        if because is not None:
            _log_fault(job, because)
        self._put(Leaving(job, "settled", JobEnding(job, Job.State.FAILED, None, error_code=error_code)))

    def pass_over(self, job: Job) -> None:
        """It had ended before; its reader may not have heard of it."""
        self._put(Leaving(job, "settled"))

    def put_back(self, job: Job) -> None:
        """Its chips failed, or this worker stops: it goes on elsewhere, and this attempt does not count."""
        self._put(Leaving(job, "put_back"))

    def lose(self, job: Job) -> None:
        """Somebody else holds it."""
        self._put(Leaving(job, "lost"))

    def run(self) -> None:
        """The thread's life."""
        while self._await_work():
            try:
                self.settle()
            except Exception as error:
                # Their leases lapse, and the sweeper looks after them.
                logger.error("Settling failed: %s\n%s", type(error).__name__, _place(error))
        connection.close()

    def stop(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def settle(self) -> bool:
        """Whether there was anything to do."""
        with self._changed:
            batch, self._leaving = self._leaving, []
        if not batch:
            return False
        keys = {each.job.pk: bytes(each.job.payload_key or b"") for each in batch}
        if completed := [each.completed for each in batch if each.completed]:
            self._patiently(partial(_record, completed))
        self._patiently(partial(end_jobs, [each.ending for each in batch if each.ending]))
        again = [each for each in batch if each.kind == "put_back" and self._patiently(partial(_waits_again, each.job))]
        self._forget([each.held for each in batch])
        settled = [each for each in batch if each.kind != "lost" and each not in again]
        self._patiently(partial(_finish, settled, keys))
        for each in again:
            self._patiently(partial(_release, each))
        return True

    def _end(self, run: Run, state: Job.State, finish_reason: str = "") -> None:
        ending = JobEnding(run.job, state, run.usage, finish_reason=finish_reason)
        completed = run.completed if run.wants_digest and state == Job.State.COMPLETED else None
        self._put(Leaving(run.job, "settled", ending, completed))

    def _put(self, leaving: Leaving) -> None:
        with self._changed:
            self._leaving.append(leaving)
            self._changed.notify()

    def _await_work(self) -> bool:
        with self._changed:
            while not self._leaving:
                if self._is_stopping:
                    return False
                if not self._changed.wait(IDLE_S):
                    connection.close()
        return True

    def _patiently(self, work: Callable[[], object]) -> object:
        """Until database and Redis answer: all that is done here can be done twice."""
        while True:
            try:
                return work()
            except (OperationalError, InterfaceError, RedisError) as error:
                logger.warning("Settling waits for %s", type(error).__name__)
                connection.close()
                with self._changed:
                    if self._is_stopping:
                        raise
                    self._changed.wait(RETRY_S)


def _record(completed: Sequence[Completed]) -> None:
    """Before the settlement, which clears the keys. What fails here for another reason than an outage holds up no
    ending."""
    try:
        record_answers(completed)
    except (OperationalError, InterfaceError, RedisError):
        raise
    except Exception as error:
        logger.error("Answers were not recorded: %s\n%s", type(error).__name__, _place(error))


def _waits_again(job: Job) -> bool:
    """False where it cannot be computed any more, and then it is failed here, or had ended."""
    computing = Job.objects.filter(pk=job.pk, deployment__state__in=Deployment.COMPUTING)
    if (job.deployment_id is None or computing.exists()) and put_back_job(job=job):
        return True
    end_jobs([JobEnding(job, Job.State.FAILED, None, error_code="engine_fault")])
    return False


def _release(leaving: Leaving) -> None:
    """Only now, when the lease is free for whoever claims it next."""
    release_jobs(leaving.job.model_id, [leaving.held])
    put_back(ticket_of(leaving.job))


def _finish(settled: Sequence[Leaving], keys: Mapping[str, bytes]) -> None:
    by_model: defaultdict[str, list[tuple[Held, bytes]]] = defaultdict(list)
    for each in settled:
        by_model[each.job.model_id].append((each.held, _seal_ending(each, keys[each.job.pk])))
    for model_id, finished in by_model.items():
        finish_jobs(model_id, finished)


def _seal_ending(leaving: Leaving, key: bytes) -> bytes:
    """What the row says now, so that the reader need not ask. Nothing where another worker has ended the job."""
    job = leaving.job
    if leaving.ending is None or job.is_active or not key:
        return b""
    return seal_payload(key, job.pk, ending_of(job))


def _log_fault(job: Job, error: Exception) -> None:
    """Where it failed, without the error's own words, which may quote a prompt; a checkpoint's fault says why."""
    reason = str(error) if isinstance(error, CheckpointError | ProgramChangedError) else ""
    name = type(error).__name__
    logger.error("Job %s on %s failed: %s %s\n%s", job.pk, job.model_id, name, reason, _place(error))


def _place(error: Exception) -> str:
    return "".join(traceback.format_tb(error.__traceback__))
