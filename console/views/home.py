"""The console's first page: where things stand, and what to do next."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.models import Organization
from accounts.selectors import list_api_keys
from billing.selectors import get_funds
from console.access import organization_page
from console.usage import get_usage_period


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    text: str
    action: str
    url: str
    is_done: bool = False
    is_next: bool = False


@organization_page
def home(request: HttpRequest, organization: Organization) -> HttpResponse:
    usage = get_usage_period(organization_id=organization.pk, days=7)
    context = {
        "organization": organization,
        "funds": get_funds(organization.pk),
        "total": usage.total,
        "steps": _list_steps(has_keys=list_api_keys(organization).exists(), has_calls=bool(usage.total.requests)),
    }
    return render(request, "console/home.html", context)


def _list_steps(*, has_keys: bool, has_calls: bool) -> list[Step]:
    return [
        Step(
            title="Create an API key",
            text="It is shown once, with a call that is ready to run.",
            action="API keys",
            url=reverse("console:api-keys"),
            is_done=has_keys,
            is_next=not has_keys,
        ),
        Step(
            title="Make a first call",
            text="With curl, the openai SDK or the groq SDK.",
            action="Quickstart",
            url=reverse("console:quickstart"),
            is_done=has_calls,
            is_next=has_keys and not has_calls,
        ),
        Step(
            title="Talk to a model",
            text="Tokens stream in, with the time to the first one beside them.",
            action="Playground",
            url=reverse("console:playground"),
        ),
        Step(
            title="See what it cost",
            text="Requests, tokens and cost, by day and by model.",
            action="Usage",
            url=reverse("console:usage"),
        ),
    ]
