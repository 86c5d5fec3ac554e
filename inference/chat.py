"""From a validated request to a queued job: count the prompt, admit, hold the money, enqueue."""

import secrets
from dataclasses import dataclass

from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from accounts.types import Caller
from billing.exceptions import InsufficientBalanceError, NoPriceError
from inference.database import on_database
from inference.exceptions import ApiError, invalid_request, model_not_found, model_unavailable
from inference.limits import Limits, Standing, admit_request, get_limits, give_back_request
from inference.models import Job, LanguageModel, new_request_id
from inference.payloads import new_payload_key
from inference.prompts import Prompt, payload_of, prepare_prompt
from inference.queues import enqueue_job
from inference.selectors import get_model
from inference.services import create_job, fail_job
from inference.streams import put_prompt
from inference.types import ChatRequest, JobHandle
from lpu_backend import ToolFormat

SEED_LIMIT = 2**31  # seeds that we draw fit any client's integer


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that was admitted, paid for in advance and queued; `tool_format` where its answer may call functions."""

    handle: JobHandle
    standing: Standing
    tool_format: ToolFormat | None = None


async def start_chat(*, caller: Caller, chat: ChatRequest, source: Job.Source) -> Submission:
    """Queues one chat completion.

    Raises ApiError: 404 unknown model, 400 a prompt that does not fit, 413 or 429 limits, 402 balance, 503 no broker.
    """
    model, limits = await on_database(_look_up, caller, chat.model)
    prompt = await prepare_prompt(model, chat)
    max_completion_tokens = _max_completion_tokens(model, chat, len(prompt.ids))
    request_id = new_request_id()
    standing = await admit_request(
        caller=caller,
        model=model.pk,
        limits=limits,
        request_id=request_id,
        tokens=len(prompt.ids) + chat.choices * max_completion_tokens,
    )
    try:
        handle = await on_database(
            _reserve_and_enqueue, request_id, caller, model, chat, prompt, max_completion_tokens, source
        )
    except BaseException:
        await give_back_request(caller=caller, model=model.pk, request_id=request_id)
        raise
    return Submission(handle=handle, standing=standing, tool_format=prompt.tool_format)


def _look_up(caller: Caller, model_id: str) -> tuple[LanguageModel, Limits]:
    model = get_model(model_id)
    if model is None:
        raise model_not_found(model_id[:100])
    if model.outage:
        raise model_unavailable(model.pk, model.outage)
    return model, get_limits(caller)


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
    request_id: str,
    caller: Caller,
    model: LanguageModel,
    chat: ChatRequest,
    prompt: Prompt,
    max_completion_tokens: int,
    source: Job.Source,
) -> JobHandle:
    key = new_payload_key()
    try:
        job = create_job(
            caller=caller,
            id=request_id,
            model=model,
            deployment=model.deployment,
            source=source,
            is_stream=chat.is_stream,
            temperature=chat.temperature,
            top_p=chat.top_p,
            seed=secrets.randbelow(SEED_LIMIT) if chat.seed is None else chat.seed,
            max_completion_tokens=max_completion_tokens,
            prompt_tokens=len(prompt.ids),
            choices=chat.choices,
            payload_key=key,
        )
    except InsufficientBalanceError as error:
        headers = {"x-should-retry": "false"}
        raise ApiError(status=error.status, message=error.message, code=error.code, headers=headers) from None
    except NoPriceError as error:
        raise ApiError(status=503, message=str(error), type="internal_server_error", code="model_unavailable") from None
    try:
        put_prompt(request_id=request_id, key=key, payload=payload_of(prompt, chat))
        enqueue_job(request_id=request_id, model=model.pk)
    except (BrokerError, RedisError):
        fail_job(job=job, error_code="queue_unavailable")
        message = "The queue does not answer. Nothing was billed; please try again."
        headers = {"retry-after": "2"}
        raise ApiError(
            status=503, message=message, type="internal_server_error", code="queue_unavailable", headers=headers
        ) from None
    return JobHandle(
        request_id=request_id,
        model=model.pk,
        seed=job.seed,
        created_at_s=int(job.created_at.timestamp()),
        payload_key=key,
    )
