"""What every async API view shares: the key, the envelope, the request id, the rate-limit headers."""

import logging
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import RedisError

from accounts.exceptions import AuthenticationError
from accounts.selectors import get_callers
from accounts.types import Caller
from inference.combining import Combiner
from inference.database import combined, on_database
from inference.exceptions import ApiError
from inference.limits import get_limits, peek_limits
from inference.models import new_request_id
from inference.views.envelope import envelope_response, internal_error, method_not_allowed, unauthorized, unknown_path

logger = logging.getLogger(__name__)

# One query for all that come at once; nothing is remembered, so that a revoked key stops working with its next call.
_callers: Combiner[str, Caller] = combined(get_callers)

AsyncView = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def api_view(method: str) -> Callable[[AsyncView], AsyncView]:
    """An async view for callers with a key; whatever it raises is answered in the API's envelope."""

    def decorate(view: AsyncView) -> AsyncView:
        @csrf_exempt
        @wraps(view)
        async def answer(request: HttpRequest, *args: str, **kwargs: str) -> HttpResponseBase:
            response = await _answer_safely(view, method, request, *args, **kwargs)
            if "x-request-id" not in response.headers:
                response.headers["x-request-id"] = new_request_id()
            if isinstance(response, HttpResponse):
                response.headers["content-length"] = str(len(response.content))
            return response

        return answer

    return decorate


async def _answer_safely(
    view: AsyncView,
    method: str,
    request: HttpRequest,
    *args: str,
    **kwargs: str,
) -> HttpResponseBase:
    try:
        if request.method != method:
            raise method_not_allowed(request.method or "", method)
        caller = await _callers.ask(request.headers.get("authorization", ""))
        return await view(request, caller, *args, **kwargs)
    except AuthenticationError as error:
        return envelope_response(unauthorized(error))
    except ApiError as error:
        return envelope_response(error)
    except Exception as error:  # the boundary: a fault's own words may quote a prompt, so only its place is logged
        place = "".join(traceback.format_tb(error.__traceback__))
        logger.error("%s %s failed: %s\n%s", request.method, request.path, type(error).__name__, place)
        return envelope_response(internal_error())


def read_body(request: HttpRequest) -> bytes:
    """The request's body; ApiError 413 where it is larger than the server takes."""
    try:
        return request.body
    except RequestDataTooBig:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raise ApiError(status=413, message=f"The request body exceeds {limit} bytes.", code="body_too_large") from None


async def add_standing(error: ApiError, caller: Caller, model: str) -> ApiError:
    """Rate-limit headers for a refusal that was made before, or apart from, the limits; none while Redis is away."""
    if "x-ratelimit-limit-requests" in error.headers:
        return error
    with suppress(RedisError):
        limits = await on_database(get_limits, caller)
        standing = await peek_limits(caller=caller, model=model, limits=limits)
        error.headers.update(standing.as_headers())
    return error


def json_response(body: bytes, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(body, content_type="application/json", headers=headers)


@csrf_exempt
async def unknown_url(request: HttpRequest, path: str = "") -> HttpResponseBase:
    return envelope_response(unknown_path(f"{request.method} {request.path[:200]}"))
