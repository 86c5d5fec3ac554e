"""A lease per running job, in Redis: whoever holds it computes the job, and a worker that dies lets it lapse."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from django.conf import settings

from inference.redis_clients import get_redis, redis_key

# Deletes a lease only while it is still ours: after a pause another worker may have taken it.
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

_token = secrets.token_hex(8)
_held: set[str] = set()
_lock = Lock()


def lease_key(request_id: str) -> str:
    return redis_key("lease", request_id)


@contextmanager
def take_lease(request_id: str) -> Iterator[bool]:
    """Holds the job's lease for the block, if nobody else does; yields whether it is ours."""
    is_ours = bool(get_redis().set(lease_key(request_id), _token, nx=True, px=settings.JOB_LEASE_MS))
    if not is_ours:
        yield False
        return
    with _lock:
        _held.add(request_id)
    try:
        yield True
    finally:
        with _lock:
            _held.discard(request_id)
        get_redis().eval(RELEASE, 1, lease_key(request_id), _token)


def renew_leases() -> None:
    """Renews every lease of this process; called once a second, by one thread, whatever the jobs are busy with."""
    with _lock:
        held = list(_held)
    if not held:
        return
    pipeline = get_redis().pipeline(transaction=False)
    for request_id in held:
        pipeline.set(lease_key(request_id), _token, px=settings.JOB_LEASE_MS)
    pipeline.execute()


def list_leased(request_ids: list[str]) -> set[str]:
    """Those of the jobs that some worker is computing now."""
    pipeline = get_redis().pipeline(transaction=False)
    for request_id in request_ids:
        pipeline.exists(lease_key(request_id))
    return {request_id for request_id, is_leased in zip(request_ids, pipeline.execute(), strict=True) if is_leased}
