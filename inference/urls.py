"""Routes of the API, served under `/v1` and `/openai/v1` alike."""

from django.urls import URLPattern, path

from inference.views.api import unknown_url
from inference.views.chat import chat_completions
from inference.views.models import model, models
from inference.views.usage import CompletionsUsage

api_patterns: list[URLPattern] = [
    path("chat/completions", chat_completions, name="chat-completions"),
    path("models", models, name="models"),
    path("models/<path:model_id>", model, name="model"),
    path("organization/usage/completions", CompletionsUsage.as_view(), name="usage-completions"),
    path("<path:path>", unknown_url),
]
