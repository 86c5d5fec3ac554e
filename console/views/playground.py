"""The playground: a form, and one streamed answer for each turn."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import Organization
from console.access import organization_page
from console.forms import PlaygroundForm
from inference.selectors import list_models


@organization_page
def playground(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = PlaygroundForm(models=list_models())
    return render(request, "console/playground.html", {"organization": organization, "form": form})
