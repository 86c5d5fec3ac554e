"""How jobs end: hold, ledger and row in one transaction, for many jobs at once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from billing.services import close_holds
from billing.types import HoldClosing, UsedTokens
from inference.database import write_turn
from inference.models import Job
from lpu_backend import EmulatedTime

logger = logging.getLogger(__name__)

# What an ending says of a job's row, beside clearing the key that opens its payload.
COLUMNS = (
    "state",
    "finished_at",
    "finish_reason",
    "error_code",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost_pusd",
    "first_token_at",
    "chips",
    "cycles",
    "saved_cycles",
    "emulated_seconds",
    "emulated_tokens_per_second",
    "program_hash",
    "timing_mode",
)
WRITE = """
WITH ended ({columns}) AS (VALUES {rows})
UPDATE inference_job SET payload_key = NULL, {settings} FROM ended
WHERE inference_job.id = ended.id AND inference_job.state IN ('queued', 'running')
RETURNING inference_job.id
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job used, as its worker counted it. The prefix cache had `cached_tokens` of its prompt."""

    completion_tokens: int
    first_token_at: datetime | None
    emulated: EmulatedTime
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class JobEnding:
    """How a job is to end. `usage` is None where nothing is billed: a fault of ours, or no model was asked."""

    job: Job
    state: Job.State
    usage: Usage | None
    finish_reason: str = ""
    error_code: str = ""


def end_each(endings: Sequence[JobEnding]) -> list[Job]:
    """Ends different jobs together or, where that fails, one by one; returns those that were ended now.

    One that cannot be charged fails, unbilled. Raises OperationalError where the database does not answer.
    """
    try:
        return _end_together(endings)
    except Exception as error:
        if len(endings) > 1:
            return [job for ending in endings for job in end_each([ending])]
        if isinstance(error, InterfaceError | OperationalError) or endings[0].usage is None:
            raise
        logger.exception("Job %s could not be charged, and fails.", endings[0].job.pk)
        return _end_together([JobEnding(endings[0].job, Job.State.FAILED, None, error_code="engine_fault")])


def _end_together(endings: Sequence[JobEnding]) -> list[Job]:
    with write_turn(), transaction.atomic():
        costs_pusd = close_holds([HoldClosing(ending.job.pk, _used(ending)) for ending in endings])
        ended = [(ending.job, _outcome(ending)) for ending in endings if ending.job.pk in costs_pusd]
        for job, outcome in ended:
            outcome["cost_pusd"] = costs_pusd[job.pk]
        if ended and _write_rows(ended) != len(ended):
            raise RuntimeError(f"Of {[job.pk for job, _ in ended]} a hold was open, and the job had ended.")
    for job, outcome in ended:
        for name, value in outcome.items():
            setattr(job, name, value)
        job.payload_key = None
    return [job for job, _ in ended]


def _used(ending: JobEnding) -> UsedTokens | None:
    job, usage = ending.job, ending.usage
    if usage is None:
        return None
    return UsedTokens(
        prompt=job.prompt_tokens,
        completion=usage.completion_tokens,
        cached=usage.cached_tokens,
        is_batch=job.service_tier == Job.ServiceTier.BATCH,
    )


def _outcome(ending: JobEnding) -> dict[str, Any]:
    """A value for each of COLUMNS."""
    usage, is_cancelled = ending.usage, ending.state == Job.State.CANCELLED
    emulated = usage.emulated if usage else EmulatedTime(0, 0, 0.0, 0.0, "", "")
    return {
        "state": ending.state,
        "finished_at": timezone.now(),
        "finish_reason": ending.finish_reason,
        "error_code": ending.error_code,
        # Usage counts what was asked of a model: a job cancelled before that has no prompt tokens either.
        "prompt_tokens": 0 if is_cancelled and usage is None else ending.job.prompt_tokens,
        "cached_tokens": usage.cached_tokens if usage else 0,
        "completion_tokens": usage.completion_tokens if usage else 0,
        "cost_pusd": 0,
        "first_token_at": usage.first_token_at if usage else None,
        "chips": emulated.chips,
        "cycles": emulated.cycles,
        "saved_cycles": emulated.saved_cycles,
        "emulated_seconds": emulated.seconds,
        "emulated_tokens_per_second": emulated.tokens_per_second,
        "program_hash": emulated.program_hash,
        "timing_mode": emulated.mode,
    }


def _write_rows(ended: Sequence[tuple[Job, dict[str, Any]]]) -> int:
    """How many rows of jobs that were active now say how they ended. What all say alike is said once."""
    columns = {name: [_as_written(name, outcome) for _, outcome in ended] for name in COLUMNS}
    shared = {name: values[0] for name, values in columns.items() if values.count(values[0]) == len(values)}
    varying = [name for name in COLUMNS if name not in shared]
    rows = zip([job.pk for job, _ in ended], *(columns[name] for name in varying), strict=True)
    places = f"({', '.join(['%s'] * (len(varying) + 1))})"
    statement = WRITE.format(
        columns=", ".join(["id", *varying]),
        rows=", ".join([places] * len(ended)),
        settings=", ".join([f"{name} = {_typed(name)}" for name in varying] + [f"{name} = %s" for name in shared]),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [value for row in rows for value in row] + list(shared.values()))
        return len(cursor.fetchall())


def _as_written(name: str, outcome: dict[str, Any]) -> Any:
    return _field(name).get_db_prep_save(outcome[name], connection)


def _typed(name: str) -> str:
    """PostgreSQL takes a column of VALUES for text where some are NULL; SQLite's casts would change what is stored."""
    column = f"ended.{name}"
    return f"CAST({column} AS {_field(name).db_type(connection)})" if connection.vendor == "postgresql" else column


@cache
def _field(name: str) -> Any:
    return Job._meta.get_field(name)
