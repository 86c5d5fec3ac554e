"""The ASGI application: pages through Django's full middleware, the API through a short path of its own."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response

django.setup(set_prefix=False)

API_PREFIXES = ("/v1/", "/openai/v1/", "/healthz", "/readyz")


class ApiHandler(ASGIHandler):
    """Django's request handler without middleware: API requests carry a key, not a session, a form or a page."""

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware = []
        self._template_response_middleware = []
        self._exception_middleware = []
        self._middleware_chain = convert_exception_to_response(self._get_response_async)


pages: ASGI3Application = ASGIHandler()  # type: ignore[assignment]
api: ASGI3Application = ApiHandler()  # type: ignore[assignment]


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    is_api = scope["type"] == "http" and scope["path"].startswith(API_PREFIXES)
    await (api if is_api else pages)(scope, receive, send)
