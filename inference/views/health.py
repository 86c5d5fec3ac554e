"""Is the process up (`/healthz`), and can it answer a call (`/readyz`): database, Redis and at least one worker."""

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from inference.database import on_database
from inference.redis_clients import get_redis
from inference.worker import list_workers


async def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    checks = {
        "database": await on_database(_is_answered, _ask_database),
        "redis": await on_database(_is_answered, _ask_redis),
        "worker": await on_database(_is_answered, _ask_workers),
    }
    is_ready = all(checks.values())
    answers = {name: "ok" if is_up else "unavailable" for name, is_up in checks.items()}
    return JsonResponse({"status": "ok" if is_ready else "unavailable", **answers}, status=200 if is_ready else 503)


def _is_answered(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except (DatabaseError, RedisError):
        return False


def _ask_database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone() == (1,))


def _ask_redis() -> bool:
    return bool(get_redis().ping())


def _ask_workers() -> bool:
    return bool(list_workers())
