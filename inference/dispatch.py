"""The queues of waiting jobs, in Redis: who is next, who computes it, and how many run at once (see dispatch.lua).

A job waits by its model, deployment, service tier and organization. A worker claims several at once, and gets with each
a lease, which it renews every second, and a slot of the job's deployment, which has as many as its placement computes
at once. Celery carries wake-ups alone: one at most is under way for a model.
"""

import os
import secrets
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from inference.exceptions import ApiError, no_capacity, queue_full
from inference.models import Job
from inference.queues import wake_workers
from inference.redis_clients import get_redis, redis_key
from inference.types import ClaimedJob, Held, QueueStanding, Ticket

LUA = (Path(__file__).parent / "dispatch.lua").read_text()
MAX_CLAIM = 64  # jobs in one step, so that Redis is not held up
QUEUED, QUEUE_FULL, NO_CAPACITY = 1, -1, -2  # what comes of an enqueue
GONE, LATE = 1, 2  # states of a claimed job beside 0, to be computed
ALIVE_MS = 5_000
AFTER_END_S = 60  # how long a reader may still fetch an ended stream

_token = secrets.token_hex(8)


def ticket_of(job: Job) -> Ticket:
    """Of a job whose deployment was read with it."""
    return Ticket(
        request_id=job.pk,
        model_id=job.model_id,
        organization_id=job.organization_id,
        service_tier=job.service_tier,
        deployment_id=job.deployment_id or 0,
        max_batch=job.deployment.max_batch if job.deployment else 0,
        deadline_at_ms=int(job.created_at.timestamp() * 1000) + settings.JOB_DEADLINE_S * 1000,
    )


def enqueue_jobs(jobs: Sequence[tuple[Ticket, bytes]]) -> list[int | ApiError]:
    """Lets admitted jobs wait, each with its sealed prompt, in one round trip. For each, how many jobs waited before it
    or the ApiError that refuses it: 503 when its model's queue is full, 498 when a flex job finds nothing free.

    Raises RedisError.
    """
    arguments = [_arguments("enqueue", ticket.model_id, *_waiting(ticket, prompt)) for ticket, prompt in jobs]
    return [_as_queued(ticket, answer) for (ticket, _), answer in zip(jobs, _ask_many(arguments), strict=True)]


def enqueue_job(ticket: Ticket, sealed_prompt: bytes = b"") -> int:
    """As `enqueue_jobs`, for one. Raises the ApiError that refuses it; RedisError."""
    outcome = enqueue_jobs([(ticket, sealed_prompt)])[0]
    if isinstance(outcome, ApiError):
        raise outcome
    return outcome


def put_back(ticket: Ticket) -> bool:
    """Lets a job wait again that had begun or was lost, before all others; False if it waits or runs already."""
    answer = _ask("enqueue", ticket.model_id, *_waiting(ticket, b"", limit=0))
    return not isinstance(_as_queued(ticket, answer), ApiError) and answer[0] == QUEUED


def claim_jobs(model_id: str, most: int = MAX_CLAIM) -> list[ClaimedJob]:
    """This process' share of what waits and may run now, at most so many; it is this process' to compute and to end."""
    _, wake, *found = _ask("claim", model_id, most)
    _wake_if(wake, model_id)
    claimed = (found[i : i + 5] for i in range(0, len(found), 5))
    return [
        ClaimedJob(Held(name.decode(), int(deployment)), state == GONE, state == LATE, bool(has_stream), prompt)
        for name, deployment, state, prompt, has_stream in claimed
    ]


def renew_leases(held: Iterable[Held]) -> set[str]:
    """Keeps leases and slots; the jobs that were lost to somebody else meanwhile."""
    flat = [part for each in held for part in each]
    return {lost.decode() for lost in _ask("renew", "", *flat)} if flat else set()


def release_jobs(model_id: str, held: Iterable[Held]) -> None:
    """Gives back leases and slots of jobs that were not ended."""
    _wake_if(_ask("release", model_id, *[part for each in held for part in each])[0], model_id)


def finish_jobs(model_id: str, finished: Iterable[tuple[Held, bytes]]) -> None:
    """The same for jobs that were settled: their readers are told the sealed ending, their prompts are forgotten."""
    flat = [part for held, ending in finished for part in (*held, ending)]
    _wake_if(_ask("finish", model_id, AFTER_END_S, *flat)[0], model_id)


def stop_listening(model_id: str) -> None:
    """The bell calls this process no longer."""
    _wake_if(_ask("leave", model_id)[0], model_id)


def tell_alive(worker: str, model_id: str) -> None:
    """The worker serves the model, and is one of those that share its jobs; a wake-up that was lost is sent again."""
    _wake_if(_ask("beat", model_id, worker, ALIVE_MS)[0], model_id)


def leave_service(worker: str, model_id: str) -> None:
    """The worker shares the model's jobs no longer."""
    _wake_if(_ask("beat", model_id, worker, 0)[0], model_id)


def bell_key(model_id: str) -> str:
    """A list that a worker which listens pops from; what lies in it is of no meaning."""
    return redis_key("dispatch", model_id, "bell")


def lease_key(request_id: str) -> str:
    return redis_key("lease", request_id)


def slots_key(deployment_id: int) -> str:
    return redis_key("deployment", str(deployment_id), "slots")


def get_queue_standing(job: Job) -> QueueStanding | None:
    """Where a waiting job stands; None if it does not wait."""
    found = _ask("find", job.model_id, job.pk)
    if not found:
        return None
    ahead, pace_ms = int(found[0]), found[1]
    return QueueStanding(ahead, None if pace_ms is None else round((ahead + 1) * float(pace_ms)))


def list_depths(model_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many jobs wait for each model, by service tier."""
    pipeline = get_redis().pipeline(transaction=False)
    for model_id in model_ids:
        pipeline.hgetall(redis_key("dispatch", model_id, "depth"))
    return {
        model_id: {tier: int(depths.get(tier.encode(), 0)) for tier in Job.ServiceTier.values}
        for model_id, depths in zip(model_ids, pipeline.execute(), strict=True)
    }


def count_waiting(model_id: str) -> int:
    return sum(list_depths([model_id])[model_id].values())


def list_leased(request_ids: Sequence[str]) -> set[str]:
    """Those of the jobs that some worker holds now."""
    pipeline = get_redis().pipeline(transaction=False)
    for request_id in request_ids:
        pipeline.exists(lease_key(request_id))
    return {request_id for request_id, is_leased in zip(request_ids, pipeline.execute(), strict=True) if is_leased}


def list_waiting(jobs: Sequence[Job]) -> set[str]:
    """Those of the jobs that wait in their model's queue."""
    pipeline = get_redis().pipeline(transaction=False)
    for job in jobs:
        pipeline.hexists(redis_key("dispatch", job.model_id, "jobs"), job.pk)
    return {job.pk for job, is_waiting in zip(jobs, pipeline.execute(), strict=True) if is_waiting}


def _waiting(ticket: Ticket, sealed_prompt: bytes, limit: int | None = None) -> tuple[str | int | bytes, ...]:
    return (
        ticket.request_id,
        ticket.deployment_id,
        ticket.max_batch,
        ticket.service_tier,
        ticket.organization_id,
        ticket.deadline_at_ms,
        settings.QUEUE_LIMIT if limit is None else limit,
        sealed_prompt,
        2 * settings.JOB_DEADLINE_S,
    )


def _as_queued(ticket: Ticket, answer: Any) -> int | ApiError:
    outcome, *found = answer
    if outcome == QUEUE_FULL:
        return queue_full(ticket.model_id)
    if outcome == NO_CAPACITY:
        return no_capacity(ticket.model_id)
    if outcome != QUEUED:
        return 0
    _wake_if(found[1], ticket.model_id)
    return int(found[0])


def _wake_if(wake: int, model_id: str) -> None:
    if wake:
        wake_workers(model_id)


@cache
def _script() -> Script:
    return get_redis().register_script(LUA)


def _ask(operation: str, model_id: str, *arguments: str | int | bytes) -> Any:
    return _script()(args=_arguments(operation, model_id, *arguments), client=get_redis())


def _ask_many(arguments: Sequence[Sequence[str | int | bytes]]) -> list[Any]:
    """In one round trip; in one each where Redis was restarted and does not know the script."""
    pipeline = get_redis().pipeline(transaction=False)
    for each in arguments:
        pipeline.evalsha(_script().sha, 0, *each)
    try:
        return pipeline.execute() if arguments else []
    except NoScriptError:
        return [_script()(args=each, client=get_redis()) for each in arguments]


def _arguments(operation: str, model_id: str, *arguments: str | int | bytes) -> list[str | int | bytes]:
    """The process is part of the token, since a pool may fork after this module was read."""
    token = f"{_token}-{os.getpid()}"
    return [operation, settings.REDIS_KEY_PREFIX, model_id, token, settings.JOB_LEASE_MS, *arguments]
