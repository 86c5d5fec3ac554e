"""The Content-Security-Policy: nothing inline, nothing from another host; the admin site brings its own scripts."""

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

ADMIN_PREFIX = "/admin/"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        # A form without scripts is led on to Stripe's page; browsers hold redirects to this rule too.
        "form-action 'self' https://checkout.stripe.com",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def _add_policy(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if not request.path.startswith(ADMIN_PREFIX):
        response.headers.setdefault("Content-Security-Policy", POLICY)
    return response


@sync_and_async_middleware
def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return _add_policy(request, await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        return _add_policy(request, get_response(request))  # type: ignore[arg-type]

    return answer
