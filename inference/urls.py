"""Routes of the API, served under `/v1` and `/openai/v1` alike."""

from django.urls import URLPattern, path

from inference.views.usage import CompletionsUsage

api_patterns: list[URLPattern] = [
    path("organization/usage/completions", CompletionsUsage.as_view(), name="usage-completions"),
]
