"""From a validated request to a queued job: count the prompt, admit, hold the money, enqueue."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from accounts.types import Caller
from billing.exceptions import InsufficientBalanceError, NoPriceError
from inference.database import combined
from inference.dispatch import enqueue_jobs, ticket_of
from inference.exceptions import ApiError, invalid_request, model_not_found, model_unavailable, queue_unavailable
from inference.limits import Limits, Standing, admit_request, give_back_request, list_limits
from inference.models import Job, LanguageModel, new_request_id
from inference.payloads import PromptPayload, new_payload_key, seal_payload
from inference.prompts import payload_of, prepare_prompt
from inference.selectors import get_models
from inference.services import create_jobs, fail_job, new_job
from inference.types import ChatRequest, JobHandle
from lpu_backend import ToolFormat

SERVICE_TIERS = {"flex": Job.ServiceTier.FLEX}  # what else a call may name is served on demand
SEED_LIMIT = 2**31  # seeds that we draw fit any client's integer


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that was admitted, paid for in advance and queued; `tool_format` where its answer may call functions."""

    handle: JobHandle
    standing: Standing
    jobs_ahead: int  # waited for the model when it was queued
    tool_format: ToolFormat | None = None


async def start_chat(*, caller: Caller, chat: ChatRequest, source: Job.Source) -> Submission:
    """Queues one chat completion.

    Raises ApiError: 404 unknown model, 400 a prompt that does not fit, 413 or 429 limits, 402 balance, 503 a full
    queue or none, 498 no room for the flex tier.
    """
    model, limits = await _look_ups.ask((caller, chat.model))
    prompt = await prepare_prompt(model, chat)
    max_completion_tokens = _max_completion_tokens(model, chat, len(prompt.ids))
    request_id = new_request_id()
    try:
        standing = await admit_request(
            caller=caller,
            model=model.pk,
            limits=limits,
            request_id=request_id,
            tokens=len(prompt.ids) + chat.choices * max_completion_tokens,
        )
    except RedisError:
        raise queue_unavailable() from None
    job = new_job(
        caller=caller,
        id=request_id,
        model=model,
        deployment=model.deployment,
        source=source,
        is_stream=chat.is_stream,
        service_tier=SERVICE_TIERS.get(chat.service_tier or "", Job.ServiceTier.ON_DEMAND),
        temperature=chat.temperature,
        top_p=chat.top_p,
        seed=secrets.randbelow(SEED_LIMIT) if chat.seed is None else chat.seed,
        max_completion_tokens=max_completion_tokens,
        prompt_tokens=len(prompt.ids),
        choices=chat.choices,
        payload_key=new_payload_key(),
    )
    try:
        handle, jobs_ahead = await _reservations.ask((job, payload_of(prompt, chat)))
    except BaseException:
        with suppress(RedisError):
            await give_back_request(caller=caller, model=model.pk, request_id=request_id)
        raise
    return Submission(handle=handle, standing=standing, jobs_ahead=jobs_ahead, tool_format=prompt.tool_format)


def _look_up(asked: Sequence[tuple[Caller, str]]) -> list[tuple[LanguageModel, Limits] | Exception]:
    """The model that each call names and the caller's limits, or the ApiError why it is not served."""
    models = get_models({model_id for _, model_id in asked})
    limits = list_limits([caller for caller, _ in asked])
    return [_served(models.get(model_id), model_id, own) for (_, model_id), own in zip(asked, limits, strict=True)]


def _served(model: LanguageModel | None, model_id: str, limits: Limits) -> tuple[LanguageModel, Limits] | Exception:
    if model is None:
        return model_not_found(model_id[:100])
    if model.outage:
        return model_unavailable(model.pk, model.outage)
    return model, limits


def _max_completion_tokens(model: LanguageModel, chat: ChatRequest, prompt_tokens: int) -> int:
    room = model.context_window - prompt_tokens
    asked = chat.max_completion_tokens
    if room < (asked or 1):
        resulted = (
            f"{prompt_tokens + asked} tokens ({prompt_tokens} in the messages, {asked} in the completion)"
            if asked
            else f"{prompt_tokens} tokens"
        )
        message = (
            f"This model's maximum context length is {model.context_window} tokens. However, you requested {resulted}. "
            "Please reduce the length of the messages or completion."
        )
        raise invalid_request(message, param="messages", code="context_length_exceeded")
    return asked or min(model.default_max_completion_tokens, room)


def _reserve_and_enqueue(
    reservations: Sequence[tuple[Job, PromptPayload]],
) -> list[tuple[JobHandle, int] | Exception]:
    """Holds the money of all and writes their rows in one transaction; who was not refused is queued, all in one round
    trip. Each handle with the number of jobs that waited before."""
    outcomes: list[Any] = [
        _refusal(outcome) if isinstance(outcome, Exception) else outcome
        for outcome in create_jobs([job for job, _ in reservations])
    ]
    created = [(job, prompt) for job, (_, prompt) in zip(outcomes, reservations, strict=True) if isinstance(job, Job)]
    queued = iter(_enqueue(created))
    return [next(queued) if isinstance(outcome, Job) else outcome for outcome in outcomes]


def _refusal(error: Exception) -> Exception:
    if isinstance(error, InsufficientBalanceError):
        headers = {"x-should-retry": "false"}
        return ApiError(status=error.status, message=error.message, code=error.code, headers=headers)
    if isinstance(error, NoPriceError):
        return ApiError(status=503, message=str(error), type="internal_server_error", code="model_unavailable")
    return error


def _enqueue(created: Sequence[tuple[Job, PromptPayload]]) -> list[tuple[JobHandle, int] | Exception]:
    """Where a job may not or cannot wait, its hold is released and its row says why."""
    sealed = [(ticket_of(job), seal_payload(bytes(job.payload_key or b""), job.pk, prompt)) for job, prompt in created]
    try:
        queued: Sequence[int | ApiError] = enqueue_jobs(sealed)
    except RedisError:
        queued = [queue_unavailable()] * len(created)
    return [_as_queued(job, outcome) for (job, _), outcome in zip(created, queued, strict=True)]


def _as_queued(job: Job, outcome: int | ApiError) -> tuple[JobHandle, int] | Exception:
    if isinstance(outcome, ApiError):
        fail_job(job=job, error_code=outcome.code or "")
        return outcome
    handle = JobHandle(
        request_id=job.pk,
        model=job.model_id,
        seed=job.seed,
        created_at_s=int(job.created_at.timestamp()),
        payload_key=bytes(job.payload_key or b""),
    )
    return handle, outcome


# Calls that come while a round is under way are taken together by the next one.
_look_ups = combined(_look_up)
_reservations = combined(_reserve_and_enqueue)
