"""One shape for every error of the API, whichever layer raised it."""

import logging
from typing import Any

from django.http import Http404, JsonResponse
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.response import Response

from accounts.exceptions import AuthenticationError
from inference.exceptions import ApiError

logger = logging.getLogger(__name__)


def unauthorized(error: AuthenticationError) -> ApiError:
    headers = {"www-authenticate": "Bearer"}
    return ApiError(status=401, message=error.message, code=error.code, headers=headers)


def internal_error() -> ApiError:
    message = "The server had an error while processing your request. Nothing was billed; please try again."
    return ApiError(status=500, message=message, type="internal_server_error", code="internal_error")


def unknown_path(path: str) -> ApiError:
    return ApiError(status=404, message=f"Unknown request URL: {path}.", code="unknown_url")


def method_not_allowed(method: str, allowed: str) -> ApiError:
    message = f"{method} is not allowed here; this address takes {allowed}."
    return ApiError(status=405, message=message, code="method_not_allowed", headers={"allow": allowed})


def envelope_response(error: ApiError) -> JsonResponse:
    return JsonResponse(error.as_body(), status=error.status, headers=error.headers)


def answer_exception(exception: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: its own exceptions, and ours, in the envelope."""
    error = _as_api_error(exception)
    if error is None:
        return None
    return Response(error.as_body(), status=error.status, headers=error.headers)


def _as_api_error(exception: Exception) -> ApiError | None:
    if isinstance(exception, ApiError):
        return exception
    if isinstance(exception, AuthenticationError):
        return unauthorized(exception)
    if isinstance(exception, Http404):
        return ApiError(status=404, message="Not found.", code="not_found")
    if isinstance(exception, MethodNotAllowed):
        return ApiError(status=405, message=str(exception.detail), code="method_not_allowed")
    if isinstance(exception, APIException):
        return ApiError(status=exception.status_code, message=str(exception.detail))
    return None
