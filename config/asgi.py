"""The ASGI application: pages through Django's full middleware, the API through a short path of its own."""

import asyncio
import os
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponseBase
from django.urls import set_urlconf

django.setup(set_prefix=False)

from inference.views.chat import chat_completions  # noqa: E402  models need the set-up above

CHAT_PATHS = frozenset({"/v1/chat/completions", "/openai/v1/chat/completions"})
API_PREFIXES = ("/v1/", "/openai/v1/", "/healthz", "/readyz")


class ApiHandler(ASGIHandler):
    """Django's request handler without middleware: API requests carry a key, not a session, a form or a page."""

    def load_middleware(self, is_async: bool = False) -> None:
        # Django's stubs know none of these names; its own `load_middleware` sets the same ones.
        this: Any = self
        this._view_middleware = this._template_response_middleware = this._exception_middleware = []
        this._middleware_chain = convert_exception_to_response(this._get_response_async)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """As Django's own, without the log line that it writes, on a thread, for every answer from 400 up."""
        set_urlconf(settings.ROOT_URLCONF)
        this: Any = self
        response = await this._middleware_chain(request)
        response._resource_closers.append(request.close)
        return cast(HttpResponseBase, response)


class ChatHandler(ASGIHandler):
    """The token path alone: what Django does for a request, without what its views have no use for.

    No signals, which cost two threads a request, and no thread of its own: the database threads of these views keep
    their connections. No middleware, no look-up of the address: both prefixes have the same view, which answers its own
    errors. A client that goes away cancels the view, as everywhere.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        django_handler: Any = self  # Django's stubs know none of these names
        try:
            body = await django_handler.read_body(receive)
        except RequestAborted:
            return
        request, refusal = django_handler.create_request(scope, body)
        if request is None:
            await django_handler.send_response(refusal, send)
            body.close()
            return
        answering = asyncio.ensure_future(self._answer(request, send))
        leaving = asyncio.ensure_future(receive())  # nothing but a disconnect can come after the body
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            unfinished = [task for task in (answering, leaving) if task.cancel()]
            await asyncio.gather(*unfinished, return_exceptions=True)
            request.close()
        if not answering.cancelled():
            answering.result()

    async def _answer(self, request: HttpRequest, send: ASGISendCallable) -> None:
        django_handler: Any = self
        await django_handler.send_response(await chat_completions(request), send)


pages: ASGI3Application = ASGIHandler()  # type: ignore[assignment]
api: ASGI3Application = ApiHandler()  # type: ignore[assignment]
chat: ASGI3Application = ChatHandler()


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    if scope["type"] == "http" and scope["path"] in CHAT_PATHS:
        await chat(scope, receive, send)
        return
    is_api = scope["type"] == "http" and scope["path"].startswith(API_PREFIXES)
    await (api if is_api else pages)(scope, receive, send)
