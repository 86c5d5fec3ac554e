"""GET /models and /models/{id}."""

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponseBase

from accounts.types import Caller
from inference.database import on_database
from inference.exceptions import model_not_found
from inference.models import LanguageModel
from inference.selectors import get_model, list_models
from inference.views.api import api_view, json_response


@api_view("GET")
async def models(request: HttpRequest, caller: Caller) -> HttpResponseBase:
    data = [_as_object(model) for model in await on_database(list_models)]
    body = {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": False,
    }
    return json_response(msgspec.json.encode(body))


@api_view("GET")
async def model(request: HttpRequest, caller: Caller, model_id: str) -> HttpResponseBase:
    found = await on_database(get_model, model_id)
    if found is None:
        raise model_not_found(model_id[:100])
    return json_response(msgspec.json.encode(_as_object(found)))


def _as_object(model: LanguageModel) -> dict[str, Any]:
    return {
        "id": model.pk,
        "object": "model",
        "created": int(model.created_at.timestamp()),
        "owned_by": model.owned_by,
        "active": model.is_active and not model.outage,
        "context_window": model.context_window,
        "public_apps": None,
        "max_completion_tokens": model.context_window,
    }
