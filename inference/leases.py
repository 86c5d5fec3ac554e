"""A lease per running job, in Redis: whoever holds it computes the job, and a worker that dies lets it lapse.

With it comes a slot of the job's deployment, which has as many as its placement computes at once; a job that finds none
waits, and is sent to its queue again when one is free.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

from django.conf import settings
from redis.commands.core import Script

from inference.queues import enqueue_job
from inference.redis_clients import get_redis, redis_key
from inference.types import Bound

LUA = (Path(__file__).parent / "leases.lua").read_text()

_token = secrets.token_hex(8)
_lock = Lock()


_held: dict[str, Bound] = {}


def lease_key(request_id: str) -> str:
    return redis_key("lease", request_id)


def slots_key(deployment_id: int | None) -> str:
    return redis_key("deployment", str(deployment_id), "slots")


def waiting_key(deployment_id: int | None) -> str:
    return redis_key("deployment", str(deployment_id), "waiting")


@contextmanager
def take_lease(request_id: str, bound: Bound) -> Iterator[bool]:
    """Holds the job's lease and a slot for the block, if nobody holds it and one is free; yields whether it is ours."""
    is_ours = _ask("take", request_id, bound) == 1
    if not is_ours:
        yield False
        return
    with _lock:
        _held[request_id] = bound
    try:
        yield True
    finally:
        with _lock:
            _held.pop(request_id, None)
        _call(_ask("release", request_id, bound), bound)


def renew_leases() -> None:
    """Renews every lease of this process; called once a second, by one thread, whatever the jobs are busy with."""
    for request_id in list(_held):
        # Under the lock, so that a lease is never renewed after it was given back.
        with _lock:
            if request_id in _held:
                _ask("renew", request_id, _held[request_id])


def wake_waiting(bound: Bound) -> int:
    """Calls waiting jobs to slots that a dead worker left; how many those were."""
    return _call(_ask("wake", "", bound), bound)


def list_leased(request_ids: Sequence[str]) -> set[str]:
    """Those of the jobs that some worker is computing now."""
    pipeline = get_redis().pipeline(transaction=False)
    for request_id in request_ids:
        pipeline.exists(lease_key(request_id))
    return {request_id for request_id, is_leased in zip(request_ids, pipeline.execute(), strict=True) if is_leased}


def list_waiting(deployment_ids: Sequence[int | None]) -> set[str]:
    """The jobs of these deployments that wait for a slot."""
    pipeline = get_redis().pipeline(transaction=False)
    for deployment_id in deployment_ids:
        pipeline.zrange(waiting_key(deployment_id), 0, -1)
    return {member.decode() for members in pipeline.execute() for member in members}


@cache
def _script() -> Script:
    return get_redis().register_script(LUA)


def _ask(operation: str, request_id: str, bound: Bound) -> object:
    keys = [lease_key(request_id), slots_key(bound.deployment_id), waiting_key(bound.deployment_id)]
    args: list[str | int] = [operation, _token, settings.JOB_LEASE_MS, request_id, bound.max_batch]
    return _script()(keys=keys, args=args, client=get_redis())


def _call(answer: object, bound: Bound) -> int:
    called = answer if isinstance(answer, list) else []
    for request_id in called:
        enqueue_job(request_id=request_id.decode(), model=bound.model_id)
    return len(called)
