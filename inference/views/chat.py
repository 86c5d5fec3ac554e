"""POST /chat/completions: the token path, from the request to the last event."""

from collections.abc import AsyncGenerator, AsyncIterator

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from accounts.types import Caller
from inference.chat import Submission, start_chat
from inference.choices import AnswerShape
from inference.completions import CompletionWriter, fault_of
from inference.exceptions import ApiError
from inference.models import Job
from inference.schemas import parse_chat_request
from inference.streaming import relay_job
from inference.types import ChatRequest, EndEvent, JobEvent
from inference.views.api import add_standing, api_view, json_response, read_body


@api_view("POST")
async def chat_completions(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    model = settings.DEFAULT_MODEL
    try:
        chat = parse_chat_request(read_body(request))
        submission = await start_chat(caller=caller, chat=chat, source=Job.Source.API)
        model = chat.model
        return await (_stream if chat.is_stream else _answer)(chat, submission)
    except ApiError as error:
        raise await add_standing(error, caller, model) from None


async def _answer(chat: ChatRequest, submission: Submission) -> HttpResponseBase:
    """Folds the job's stream into one JSON object."""
    writer = _writer(chat, submission)
    async for event in relay_job(submission.handle):
        if isinstance(event, EndEvent):
            _raise_fault(event, submission)
            writer.program_hash = str(event.emulated["program_hash"])
            return json_response(writer.whole(event), _headers(submission))
        writer.add(event)
    raise AssertionError("A stream ends with an EndEvent.")


async def _stream(chat: ChatRequest, submission: Submission) -> HttpResponseBase:
    """Server-sent events. The first event is awaited, so that a job that fails before it has a status of its own."""
    events = relay_job(submission.handle)
    try:
        first = await anext(events)
    except BaseException:
        await events.aclose()
        raise
    if isinstance(first, EndEvent):
        _raise_fault(first, submission)
    body = _write_stream(_writer(chat, submission), first, events)
    headers = {**_headers(submission), "cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingHttpResponse(body, content_type="text/event-stream; charset=utf-8", headers=headers)


async def _write_stream(
    writer: CompletionWriter, first: JobEvent, rest: AsyncGenerator[JobEvent, None]
) -> AsyncIterator[bytes]:
    try:
        writer.program_hash = first.program_hash if not isinstance(first, EndEvent) else ""
        yield writer.first_chunk()
        event: JobEvent | None = first
        while event is not None:
            if isinstance(event, EndEvent):
                fault = fault_of(event)
                yield writer.fault_chunks(fault) if fault else writer.last_chunks(event)
                return
            chunk = writer.token_chunk(event)
            if chunk:
                yield chunk
            event = await anext(rest, None)
    finally:
        await rest.aclose()


def _writer(chat: ChatRequest, submission: Submission) -> CompletionWriter:
    shape = AnswerShape(
        choices=chat.choices,
        has_logprobs=chat.top_logprobs is not None,
        tool_format=submission.tool_format,
        tool_names=chat.tool_use.names if chat.tool_use else (),
    )
    return CompletionWriter(
        submission.handle, service_tier=chat.service_tier, include_usage=chat.include_usage, shape=shape
    )


def _headers(submission: Submission) -> dict[str, str]:
    queue = {"x-queue-position": str(submission.jobs_ahead)}
    return {"x-request-id": submission.handle.request_id, **queue, **submission.standing.as_headers()}


def _raise_fault(ending: EndEvent, submission: Submission) -> None:
    fault = fault_of(ending)
    if fault:
        fault.headers.update(_headers(submission))
        raise fault
