"""Clients of the one Redis: for threads, and for each event loop."""

import asyncio
from functools import cache
from weakref import WeakKeyDictionary

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRedis] = WeakKeyDictionary()


@cache
def get_redis() -> Redis:
    """The client that threads share; answers are bytes."""
    return Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5, health_check_interval=30)


def get_async_redis() -> AsyncRedis:
    """The client of the running event loop: a connection belongs to the loop that opened it."""
    loop = asyncio.get_running_loop()
    client = _by_loop.get(loop)
    if client is None:
        client = AsyncRedis.from_url(settings.REDIS_URL, socket_connect_timeout=5, health_check_interval=30)
        _by_loop[loop] = client
    return client


def redis_key(*parts: str) -> str:
    return settings.REDIS_KEY_PREFIX + ":".join(parts)
