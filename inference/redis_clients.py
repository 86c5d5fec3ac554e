"""Clients of the one Redis: for threads, and for each event loop."""

import asyncio
from functools import cache
from weakref import WeakKeyDictionary

from django.conf import settings
from redis import BlockingConnectionPool, Redis
from redis.asyncio import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

COMMAND_CONNECTIONS = 32  # callers beyond these wait for one, as they would wait for Redis itself
STREAM_CONNECTIONS = 10_000  # a reader that waits for tokens keeps its connection: as many as streams may be open
WAIT_S = 10
CONNECT_S = 5

_commands: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRedis] = WeakKeyDictionary()
_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRedis] = WeakKeyDictionary()


@cache
def get_redis() -> Redis:
    """The client that threads share; answers are bytes."""
    pool = BlockingConnectionPool.from_url(
        settings.REDIS_URL, max_connections=COMMAND_CONNECTIONS, timeout=WAIT_S, socket_connect_timeout=CONNECT_S
    )
    return Redis(connection_pool=pool)


def get_async_redis() -> AsyncRedis:
    """The running event loop's client for quick commands: a connection belongs to the loop that made it."""
    return _client(_commands, COMMAND_CONNECTIONS)


def get_stream_redis() -> AsyncRedis:
    """The running event loop's client for reads that wait."""
    return _client(_readers, STREAM_CONNECTIONS)


def _client(clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRedis], max_connections: int) -> AsyncRedis:
    loop = asyncio.get_running_loop()
    client = clients.get(loop)
    if client is None:
        # Once more on a new connection: those that lie in the pool were closed when Redis was restarted.
        pool = AsyncBlockingConnectionPool.from_url(
            settings.REDIS_URL,
            max_connections=max_connections,
            timeout=WAIT_S,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 1),
        )
        client = clients[loop] = AsyncRedis(connection_pool=pool)
    return client


def redis_key(*parts: str) -> str:
    return settings.REDIS_KEY_PREFIX + ":".join(parts)
