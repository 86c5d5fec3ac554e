"""Routes of the API, served under `/v1` and `/openai/v1` alike."""

from django.urls import URLPattern

api_patterns: list[URLPattern] = []
