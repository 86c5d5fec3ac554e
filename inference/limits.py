"""Rate limits: requests and tokens per minute and per day, for an organization and model, decided by one Lua call."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import connection
from redis import RedisError

from accounts.types import Caller
from inference.exceptions import ApiError
from inference.limit_script import Call, call_script, call_script_for_all
from inference.models import Job
from inference.redis_clients import redis_key

logger = logging.getLogger(__name__)

# Plain SQL, as every request comes by: to compile a query costs more than to run this one.
OWN_LIMITS = "SELECT organization_id, rpm, rpd, tpm, tpd FROM inference_ratelimit WHERE organization_id IN ({places})"
DIMENSIONS = (
    ("requests", "requests per minute (RPM)"),
    ("requests", "requests per day (RPD)"),
    ("tokens", "tokens per minute (TPM)"),
    ("tokens", "tokens per day (TPD)"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an organization may use of one model: requests and tokens, per minute and per day."""

    rpm: int
    rpd: int
    tpm: int
    tpd: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an organization stands with a model after a decision; `refused_by` indexes DIMENSIONS, None if admitted."""

    limits: Limits
    refused_by: int | None
    used: int
    wait_ms: int
    remaining_requests: int
    reset_requests_ms: int
    remaining_tokens: int
    reset_tokens_ms: int

    def as_headers(self) -> dict[str, str]:
        """Requests are those of the day, tokens those of the minute."""
        return {
            "x-ratelimit-limit-requests": str(self.limits.rpd),
            "x-ratelimit-remaining-requests": str(self.remaining_requests),
            "x-ratelimit-reset-requests": format_duration(self.reset_requests_ms),
            "x-ratelimit-limit-tokens": str(self.limits.tpm),
            "x-ratelimit-remaining-tokens": str(self.remaining_tokens),
            "x-ratelimit-reset-tokens": format_duration(self.reset_tokens_ms),
        }


def format_duration(duration_ms: int) -> str:
    """`7.66s`, `2m59.56s`, `23h59m0s`."""
    minutes, rest_ms = divmod(duration_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{seconds}s"


def get_limits(caller: Caller) -> Limits:
    """The organization's own limits, else its plan's."""
    return list_limits([caller])[0]


def list_limits(callers: Sequence[Caller]) -> list[Limits]:
    """As `get_limits`, for many with one query."""
    organizations = list({caller.organization_id for caller in callers})
    with connection.cursor() as cursor:
        cursor.execute(OWN_LIMITS.format(places=", ".join(["%s"] * len(organizations))), organizations)
        own = {organization_id: Limits(*limits) for organization_id, *limits in cursor.fetchall()}
    return [own.get(caller.organization_id) or Limits(**settings.PLAN_LIMITS[caller.plan]) for caller in callers]


async def admit_request(*, caller: Caller, model: str, limits: Limits, request_id: str, tokens: int) -> Standing:
    """Counts a request and reserves its tokens, or refuses both; the one place where that is decided.

    Raises ApiError: 413 where the request alone exceeds the tokens of a minute, 429 where a limit is reached.
    """
    if tokens > limits.tpm:
        raise _too_large(caller, model, limits, tokens, await peek_limits(caller=caller, model=model, limits=limits))
    standing = await _ask("admit", caller=caller, model=model, limits=limits, request_id=request_id, tokens=tokens)
    if standing.refused_by is not None:
        raise _limit_reached(caller, model, standing, tokens)
    return standing


async def peek_limits(*, caller: Caller, model: str, limits: Limits) -> Standing:
    return await _ask("peek", caller=caller, model=model, limits=limits, request_id="", tokens=0)


async def give_back_request(*, caller: Caller, model: str, request_id: str) -> None:
    """Uncounts an admitted request that was refused afterwards."""
    await call_script((_keys(caller.organization_id, model, request_id), ["release", request_id]))


def correct_tokens(used: Sequence[tuple[Job, int]]) -> None:
    """Replaces the reservations of ended jobs by the tokens that they used, each once, in one round trip.

    Where Redis does not answer, the reservations stand until they expire: the jobs themselves have ended.
    """
    calls: list[Call] = [
        (_keys(job.organization_id, job.model_id, job.pk), ["correct", job.pk, tokens]) for job, tokens in used
    ]
    try:
        call_script_for_all(calls)
    except RedisError as error:
        logger.warning("Limits of %d ended jobs were not corrected: %s", len(used), type(error).__name__)


def _keys(organization_id: str, model: str, request_id: str) -> list[str]:
    # The braces keep one organization's keys together on a Redis cluster, which one script call needs.
    base = redis_key("limit", f"{{{organization_id}:{model}}}")
    return [f"{base}:minute", f"{base}:weights", f"{base}:day", f"{base}:reserved:{request_id}"]


async def _ask(
    operation: Literal["admit", "peek"], *, caller: Caller, model: str, limits: Limits, request_id: str, tokens: int
) -> Standing:
    keys = _keys(caller.organization_id, model, request_id)
    args: list[str | int] = [operation, request_id, tokens, limits.rpm, limits.rpd, limits.tpm, limits.tpd]
    answer = await call_script((keys, args))
    refused, used, wait_ms, requests, reset_requests_ms, tokens_left, reset_tokens_ms = answer
    return Standing(
        limits=limits,
        refused_by=refused - 1 if refused and operation == "admit" else None,
        used=used,
        wait_ms=wait_ms,
        remaining_requests=max(0, requests),
        reset_requests_ms=reset_requests_ms,
        remaining_tokens=max(0, tokens_left),
        reset_tokens_ms=reset_tokens_ms,
    )


def _limit_reached(caller: Caller, model: str, standing: Standing, tokens: int) -> ApiError:
    index = standing.refused_by or 0
    kind, dimension = DIMENSIONS[index]
    limit = (standing.limits.rpm, standing.limits.rpd, standing.limits.tpm, standing.limits.tpd)[index]
    requested = 1 if kind == "requests" else tokens
    message = (
        f"Rate limit reached for model `{model}` in organization `{caller.organization_id}` service tier "
        f"`on_demand` on {dimension}: Limit {limit}, Used {standing.used}, Requested {requested}. "
        f"Please try again in {format_duration(standing.wait_ms)}."
    )
    headers = {"retry-after": str(math.ceil(standing.wait_ms / 1000)), **standing.as_headers()}
    return ApiError(status=429, message=message, type=kind, code="rate_limit_exceeded", headers=headers)


def _too_large(caller: Caller, model: str, limits: Limits, tokens: int, standing: Standing) -> ApiError:
    message = (
        f"Request too large for model `{model}` in organization `{caller.organization_id}` service tier `on_demand` on "
        f"tokens per minute (TPM): Limit {limits.tpm}, Requested {tokens}. Shorten the messages or lower "
        "`max_completion_tokens`."
    )
    headers = {"x-should-retry": "false", **standing.as_headers()}
    return ApiError(status=413, message=message, type="tokens", code="rate_limit_exceeded", headers=headers)
