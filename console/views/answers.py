"""One turn of the playground: submitted as a form, streamed as server-sent events, stopped by a button.

A stream's address carries the sealed handle of its job, which only the organization that began the job can open.
"""

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from redis.exceptions import RedisError

from accounts.models import User
from accounts.selectors import get_default_project, get_organization_of
from accounts.types import Caller
from console.answer_figures import AnswerFigures
from console.conversation import build_chat
from console.forms import PlaygroundForm
from console.sse import format_event, format_text_event
from inference.chat import start_chat
from inference.database import on_database
from inference.exceptions import ApiError
from inference.models import Job
from inference.selectors import list_models
from inference.streaming import cancel_reading, open_handle, relay_job, seal_handle
from inference.types import EndEvent, JobHandle

logger = logging.getLogger(__name__)

FAULT = "The engine failed while it computed this answer. Nothing was billed; please try again."
LOST = "The stream of this answer was lost. What was made until then is billed; please try again."


@require_POST
@login_required
async def create_answer(request: HttpRequest) -> HttpResponse:
    """A turn to append to the conversation: one that streams, or one that says why it was refused."""
    caller = await on_database(_get_caller, await request.auser())
    form = PlaygroundForm(request.POST, models=await on_database(list_models))
    prompt = request.POST.get("prompt", "")
    if not form.is_valid():
        return _refuse(request, prompt, form.first_error)
    try:
        submission = await start_chat(
            caller=caller, chat=build_chat(form.cleaned_data, request.POST), source=Job.Source.PLAYGROUND
        )
    except ApiError as error:
        return _refuse(request, prompt, error.message)
    handle = submission.handle
    context = {
        "prompt": prompt,
        "handle": handle,
        "sealed_handle": seal_handle(handle, organization_id=caller.organization_id),
        "figures": AnswerFigures(submitted_at_s=0.0),
    }
    return render(request, "console/turn.html", context)


@require_GET
@login_required
@never_cache
async def stream_answer(request: HttpRequest, sealed_handle: str) -> StreamingHttpResponse:
    """The job's tokens as they come. Leaving the page closes the stream, and that cancels the job."""
    handle = await _open(request, sealed_handle)
    submitted_at = await Job.objects.values_list("created_at", flat=True).aget(pk=handle.request_id)
    answer = _Answer(handle, AnswerFigures(submitted_at_s=submitted_at.timestamp()))
    response = StreamingHttpResponse(_relay(answer, _last_index(request)), content_type="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    return response


@require_POST
@login_required
async def stop_answer(request: HttpRequest, sealed_handle: str) -> HttpResponse:
    """Cancels the job; the stream that is being read then ends with what was made until now."""
    handle = await _open(request, sealed_handle)
    await cancel_reading(handle.request_id)
    return HttpResponse(status=204)


@dataclass(slots=True)
class _Answer:
    handle: JobHandle
    figures: AnswerFigures
    texts: list[str] = field(default_factory=list, repr=False)

    def render_figures(self, ending: EndEvent | None = None, error: str = "") -> bytes:
        """The fragment beside the answer. At the end it carries the answer too, for the next turn to send along."""
        context = {"handle": self.handle, "figures": self.figures, "ending": ending, "error": error}
        if ending is not None and not error:
            context["answer"] = "".join(self.texts)
        return format_event("figures", render_to_string("console/turn_figures.html", context))


async def _relay(answer: _Answer, last_index: int) -> AsyncGenerator[bytes, None]:
    """Tokens up to `last_index` are on the page already: a browser that lost the connection asks for the rest."""
    events = relay_job(answer.handle)
    try:
        async for event in events:
            if isinstance(event, EndEvent):
                answer.figures.close(event)
                yield answer.render_figures(event, FAULT if event.error_code else "")
                yield format_event("done", "done")
                return
            answer.texts.append(event.text)
            answer.figures.count_token()
            if event.index > last_index:
                yield format_text_event("token", event.text, event_id=event.index)
            if answer.figures.is_due():
                yield answer.render_figures()
    except (RedisError, RuntimeError):
        # Without a last word the browser would connect again and again.
        logger.exception("The stream of %s was lost.", answer.handle.request_id)
        yield answer.render_figures(error=LOST)
        yield format_event("done", "done")
    finally:
        # Not left to the garbage collector: closing is what cancels the job of somebody who went away.
        await events.aclose()


def _refuse(request: HttpRequest, prompt: str, message: str) -> HttpResponse:
    return render(request, "console/turn_refused.html", {"prompt": prompt, "message": message})


def _last_index(request: HttpRequest) -> int:
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isdecimal() else -1


async def _open(request: HttpRequest, sealed_handle: str) -> JobHandle:
    """The job that an address names; 404 for one of another organization, or an address that has grown old."""
    caller = await on_database(_get_caller, await request.auser())
    handle = open_handle(sealed_handle, organization_id=caller.organization_id)
    if handle is None:
        raise Http404
    return handle


def _get_caller(user: object) -> Caller:
    organization = get_organization_of(user) if isinstance(user, User) else None
    if organization is None:
        raise Http404
    project = get_default_project(organization)
    return Caller(organization_id=organization.pk, project_id=project.pk, plan=organization.plan)
