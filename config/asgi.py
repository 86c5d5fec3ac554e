"""The ASGI application: pages through Django's full middleware, the API through a short path of its own."""

import os
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponseBase
from django.urls import set_urlconf

django.setup(set_prefix=False)

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


pages: ASGI3Application = ASGIHandler()  # type: ignore[assignment]
api: ASGI3Application = ApiHandler()  # type: ignore[assignment]


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    is_api = scope["type"] == "http" and scope["path"].startswith(API_PREFIXES)
    await (api if is_api else pages)(scope, receive, send)
