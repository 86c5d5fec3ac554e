"""Rate limits against a real Redis: a sliding window that no interval of 60 s can overrun."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.types import Caller
from inference import limits
from inference.exceptions import ApiError
from inference.limits import (
    Limits,
    Standing,
    admit_request,
    correct_tokens,
    format_duration,
    give_back_request,
    peek_limits,
)
from inference.models import Job
from inference.redis_clients import get_redis

WIDE = Limits(rpm=10**6, rpd=10**6, tpm=10**9, tpd=10**9)
MODEL = "m"


@pytest.fixture
def caller() -> Iterator[Caller]:
    caller = Caller(organization_id="org_limits", project_id="proj_limits", plan="free")
    yield caller
    for key in get_redis().scan_iter("*{org_limits:*"):
        get_redis().delete(key)


class Clock:
    """Moves the window's clock: the script reads `now` from Redis, so the entries are moved into the past instead."""

    def __init__(self, caller: Caller) -> None:
        self._base = limits._keys(caller.organization_id, MODEL, "x")

    def advance(self, milliseconds: int) -> None:
        redis: Any = get_redis()
        minute, _, day, _ = self._base
        for member, score in redis.zrange(minute, 0, -1, withscores=True):
            redis.zadd(minute, {member: score - milliseconds})
        buckets = milliseconds // 60_000
        if buckets:
            moved = {self._shift(name.decode(), buckets): value for name, value in redis.hgetall(day).items()}
            moved["first"] = int(moved["first"]) - buckets
            redis.delete(day)
            redis.hset(day, mapping=moved)

    @staticmethod
    def _shift(name: str, buckets: int) -> str:
        kind, _, minute = name.partition(":")
        return f"{kind}:{int(minute) - buckets}" if minute else name


async def admit(caller: Caller, limits: Limits, request_id: str, tokens: int = 10) -> Any:
    return await admit_request(caller=caller, model=MODEL, limits=limits, request_id=request_id, tokens=tokens)


async def refused(caller: Caller, limits: Limits, tokens: int = 10) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await admit(caller, limits, "refused", tokens)
    return caught.value


def with_limits(**changes: int) -> Limits:
    return Limits(**{"rpm": WIDE.rpm, "rpd": WIDE.rpd, "tpm": WIDE.tpm, "tpd": WIDE.tpd, **changes})


async def test_it_admits_exactly_the_limit_when_many_ask_at_once(caller: Caller) -> None:
    limited = with_limits(rpm=100)
    answers = await asyncio.gather(*(admit(caller, limited, f"r{i}") for i in range(300)), return_exceptions=True)
    assert Counter(type(answer) for answer in answers) == {Standing: 100, ApiError: 200}


async def test_it_says_which_limit_was_reached_in_the_words_of_the_api(caller: Caller) -> None:
    await admit(caller, with_limits(tpm=8000), "a", tokens=6815)
    error = await refused(caller, with_limits(tpm=8000), tokens=3664)
    assert (error.status, error.type, error.code) == (429, "tokens", "rate_limit_exceeded")
    expected = (
        r"Rate limit reached for model `m` in organization `org_limits` service tier `on_demand` on tokens per minute "
        r"\(TPM\): Limit 8000, Used 6815, Requested 3664\. Please try again in (\d+m)?[\d.]+s\."
    )
    assert re.fullmatch(expected, error.message)
    assert 1 <= int(error.headers["retry-after"]) <= 61


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"rpm": 1}, "requests per minute (RPM): Limit 1, Used 1, Requested 1."),
        ({"rpd": 1}, "requests per day (RPD): Limit 1, Used 1, Requested 1."),
        ({"tpd": 15}, "tokens per day (TPD): Limit 15, Used 10, Requested 10."),
    ],
)
async def test_it_counts_each_dimension(caller: Caller, limit: dict[str, int], words: str) -> None:
    await admit(caller, with_limits(**limit), "a")
    assert words in (await refused(caller, with_limits(**limit))).message


async def test_it_refuses_for_good_a_request_larger_than_the_minute(caller: Caller) -> None:
    error = await refused(caller, with_limits(tpm=9))
    assert (error.status, error.type, error.headers["x-should-retry"]) == (413, "tokens", "false")


async def test_an_entry_counts_for_sixty_seconds_and_not_longer(caller: Caller) -> None:
    clock, limited = Clock(caller), with_limits(rpm=1)
    await admit(caller, limited, "a")
    clock.advance(59_000)
    assert int((await refused(caller, limited)).headers["retry-after"]) <= 2
    clock.advance(1_100)
    assert (await admit(caller, limited, "b")).refused_by is None


async def test_the_minute_slides_instead_of_starting_over(caller: Caller) -> None:
    clock, limited = Clock(caller), with_limits(rpm=4)
    for round_number in range(4):
        await admit(caller, limited, f"a{round_number}")
        clock.advance(15_000)
    for round_number in range(4):  # one leaves every 15 s, so one enters every 15 s, and never two
        await admit(caller, limited, f"b{round_number}")
        await refused(caller, limited)
        clock.advance(15_100)


async def test_a_day_leaves_after_a_day(caller: Caller) -> None:
    clock, limited = Clock(caller), with_limits(rpd=1)
    await admit(caller, limited, "a")
    clock.advance(1439 * 60_000)
    await refused(caller, limited)
    clock.advance(3 * 60_000)
    await admit(caller, limited, "b")


async def test_it_corrects_a_reservation_to_what_was_used_once(caller: Caller) -> None:
    await admit(caller, with_limits(tpm=100, tpd=100), "a", tokens=100)
    for _ in range(2):
        correct_tokens([(Job(id="a", organization_id=caller.organization_id, model_id=MODEL), 30)])
    standing = await admit(caller, with_limits(tpm=100, tpd=100), "b", tokens=70)
    assert standing.remaining_tokens == 0
    assert (await refused(caller, with_limits(tpm=100, tpd=100), tokens=1)).type == "tokens"


async def test_a_redis_that_forgot_the_script_decides_all_the_same(caller: Caller) -> None:
    limited = with_limits(tpm=100, tpd=100)
    for request_id in ("a", "b"):
        get_redis().script_flush()
        await asyncio.gather(*[admit(caller, limited, f"{request_id}{number}", tokens=10) for number in range(5)])
    await refused(caller, limited, tokens=1)
    get_redis().script_flush()
    correct_tokens([(Job(id="a1", organization_id=caller.organization_id, model_id=MODEL), 9)])
    assert (await admit(caller, limited, "c", tokens=1)).remaining_tokens == 0


async def test_it_gives_back_what_was_refused_afterwards(caller: Caller) -> None:
    limited = with_limits(rpm=1, rpd=1, tpm=10, tpd=10)
    await admit(caller, limited, "a")
    await give_back_request(caller=caller, model=MODEL, request_id="a")
    await admit(caller, limited, "b")


async def test_its_headers_tell_requests_of_the_day_and_tokens_of_the_minute(caller: Caller) -> None:
    limited = Limits(rpm=10, rpd=1000, tpm=500, tpd=9000)
    headers = (await admit(caller, limited, "a", tokens=200)).as_headers()
    assert headers["x-ratelimit-limit-requests"] == "1000"
    assert headers["x-ratelimit-remaining-requests"] == "999"
    assert headers["x-ratelimit-limit-tokens"] == "500"
    assert headers["x-ratelimit-remaining-tokens"] == "300"
    assert re.fullmatch(r"(\d+h)?\d+m[\d.]+s", headers["x-ratelimit-reset-requests"])
    assert re.fullmatch(r"(1m)?[\d.]+s", headers["x-ratelimit-reset-tokens"])


async def test_peeking_counts_nothing(caller: Caller) -> None:
    for _ in range(3):
        standing = await peek_limits(caller=caller, model=MODEL, limits=with_limits(rpd=5))
    assert standing.remaining_requests == 5


@pytest.mark.parametrize(
    ("duration_ms", "text"), [(0, "0s"), (7_660, "7.66s"), (179_560, "2m59.56s"), (86_340_000, "23h59m0s")]
)
def test_it_writes_durations_as_the_api_does(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text
