"""The rate limits' Lua script in Redis: calls that come together share a round trip, each decided for itself."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from inference.combining import Combiner
from inference.redis_clients import get_async_redis, get_redis

LUA = (Path(__file__).parent / "rate_limits.lua").read_text()
SHA1 = hashlib.sha1(LUA.encode(), usedforsecurity=False).hexdigest()  # the name that Redis gives a script

Call = tuple[list[str], list[str | int]]
"""Keys and arguments: rate_limits.lua says which."""


async def call_script(call: Call) -> list[int]:
    """Raises RedisError."""
    return await _together.ask(call)


def call_script_for_all(calls: Sequence[Call]) -> None:
    """From a thread. Raises RedisError where Redis does not answer."""
    answers = _fill(get_redis().pipeline(transaction=False), calls).execute(raise_on_error=False)
    unknown = _unknown(calls, answers)
    if unknown:
        _fill(get_redis().pipeline(transaction=False), unknown, in_full=True).execute()


async def _call_together(calls: Sequence[Call]) -> list[list[int] | Exception]:
    pipeline = _fill(get_async_redis().pipeline(transaction=False), calls)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    unknown = _unknown(calls, answers)
    if unknown:
        pipeline = _fill(get_async_redis().pipeline(transaction=False), unknown, in_full=True)
        again = iter(await pipeline.execute(raise_on_error=False))
        answers = [next(again) if isinstance(answer, NoScriptError) else answer for answer in answers]
    return answers


def _unknown(calls: Sequence[Call], answers: Sequence[object]) -> list[Call]:
    """Those that Redis could not run by the script's name: it was restarted."""
    return [call for call, answer in zip(calls, answers, strict=True) if isinstance(answer, NoScriptError)]


def _fill(pipeline: Any, calls: Sequence[Call], *, in_full: bool = False) -> Any:
    """Once a script was sent in full, Redis knows it by its name."""
    run: Callable[..., object] = pipeline.eval if in_full else pipeline.evalsha
    for keys, args in calls:
        run(LUA if in_full else SHA1, len(keys), *keys, *args)
    return pipeline


_together = Combiner(_call_together)
