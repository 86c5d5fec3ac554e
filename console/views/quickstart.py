"""The first call, ready to copy."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import Organization
from accounts.selectors import list_api_keys
from console.access import organization_page
from inference.selectors import list_models


@organization_page
def quickstart(request: HttpRequest, organization: Organization) -> HttpResponse:
    context = {
        "organization": organization,
        "has_keys": list_api_keys(organization).exists(),
        "models": list_models(),
    }
    return render(request, "console/quickstart.html", context)
