"""Whether a project keeps its prompts and answers: one switch on the page of the API keys."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.models import Organization
from accounts.selectors import get_default_project
from accounts.services import set_content_keeping
from console.access import get_user, organization_page

KEPT = "Prompts and answers are kept from now on."
NOT_KEPT = "Prompts and answers are no longer kept. What was kept before is deleted when its time is over."


@require_POST
@organization_page
def keep_content(request: HttpRequest, organization: Organization) -> HttpResponse:
    keeps_content = request.POST.get("keeps_content") == "1"
    project = get_default_project(organization)
    if set_content_keeping(project=project, keeps_content=keeps_content, changed_by=get_user(request)):
        messages.success(request, KEPT if keeps_content else NOT_KEPT)
    return redirect("console:api-keys")
