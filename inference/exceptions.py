"""Errors of the API. Each one knows how it looks in the API's envelope; none repeats a prompt or a key."""

from collections.abc import Mapping


class ApiError(Exception):
    """A refusal or fault that a caller sees: `{"error": {"message", "type", "code", "param"}}` with a status."""

    def __init__(
        self,
        *,
        status: int,
        message: str,
        type: str = "invalid_request_error",  # noqa: A002 - the wire name
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def as_body(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"message": self.message, "type": self.type, "code": self.code, "param": self.param}}


def invalid_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(status=400, message=message, param=param, code=code)


def model_not_found(model: str) -> ApiError:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(status=404, message=message, code="model_not_found", param="model")


def engine_fault() -> ApiError:
    return ApiError(
        status=500,
        message="The engine failed while it computed this answer. Nothing was billed; please try again.",
        type="internal_server_error",
        code="engine_fault",
    )


def deadline_exceeded() -> ApiError:
    return ApiError(
        status=503,
        message="The request waited longer than it may. Nothing was billed; please try again later.",
        type="internal_server_error",
        code="deadline_exceeded",
    )


def queue_full(model: str) -> ApiError:
    return ApiError(
        status=503,
        message=f"Too many requests wait for the model `{model}`. Nothing was billed; please try again later.",
        type="internal_server_error",
        code="queue_full",
        headers={"retry-after": "2"},
    )


def queue_unavailable() -> ApiError:
    return ApiError(
        status=503,
        message="The queue does not answer. Nothing was billed; please try again.",
        type="internal_server_error",
        code="queue_unavailable",
        headers={"retry-after": "2"},
    )


def no_capacity(model: str) -> ApiError:
    """The flex tier's refusal, with GroqCloud's status for it."""
    return ApiError(
        status=498,
        message=f"The model `{model}` has no free capacity for the service tier `flex`. Please try again later.",
        type="capacity_exceeded",
        code="capacity_exceeded",
        headers={"retry-after": "2"},
    )


def model_unavailable(model: str, reason: str) -> ApiError:
    message = f"The model `{model}` cannot be served: {reason.rstrip('.')}. Nothing was billed; please try again later."
    return ApiError(status=503, message=message, type="internal_server_error", code="model_unavailable")


class DeploymentError(Exception):
    """What cannot be deployed, retired or changed on the cluster; the message says why, and is for staff."""


class ProgramChangedError(Exception):
    """A model whose program is not the one that a job or a deployment began with: it must not go on for it."""
