"""API keys for Django REST framework's views. The chat path asks accounts directly, without DRF in between."""

from dataclasses import dataclass
from typing import ClassVar

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.selectors import get_caller
from accounts.services import touch_api_keys
from accounts.types import Caller


@dataclass(frozen=True, slots=True)
class KeyBearer:
    """What DRF's permissions see as the user: whoever holds the key. There is no person behind a request by key."""

    caller: Caller
    is_authenticated: ClassVar[bool] = True


class ApiKeyAuthentication(BaseAuthentication):
    """`request.auth` is the Caller. Raises accounts' AuthenticationError, which the exception handler answers."""

    def authenticate(self, request: Request) -> tuple[KeyBearer, Caller]:
        caller = get_caller(request.headers.get("authorization", ""))
        if caller.api_key_id is not None:
            touch_api_keys(api_key_ids={caller.api_key_id})
        return KeyBearer(caller), caller

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
