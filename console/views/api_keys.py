"""API keys: list, create (the secret is in that one response and nowhere else), revoke."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import Organization
from accounts.selectors import get_default_project, list_api_keys
from accounts.services import create_api_key, revoke_api_key
from console.access import get_user, organization_page
from console.forms import ApiKeyForm


@require_http_methods(["GET", "POST"])
@organization_page
def api_keys(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = ApiKeyForm(request.POST or None)
    context: dict[str, object] = {"organization": organization, "form": form}
    if form.is_valid():
        issued = create_api_key(
            project=get_default_project(organization), name=form.cleaned_data["name"], created_by=get_user(request)
        )
        context |= {"secret": issued.secret, "form": ApiKeyForm()}
    context |= {"project": get_default_project(organization), "kept_days": settings.KEPT_CONTENT_DAYS}
    context |= {"api_keys": list_api_keys(organization), "is_fragment": "HX-Request" in request.headers}
    template = "console/api_keys_fragment.html" if context["is_fragment"] else "console/api_keys.html"
    return render(request, template, context)


@require_POST
@organization_page
def revoke(request: HttpRequest, organization: Organization, api_key_id: str) -> HttpResponse:
    api_key = get_object_or_404(list_api_keys(organization), pk=api_key_id)
    if revoke_api_key(api_key=api_key, revoked_by=get_user(request)):
        messages.success(request, f"“{api_key.name}” is revoked. Requests that use it are refused from now on.")
    return redirect("console:api-keys")
