"""Who may see the console's pages: signed-in people, for their own organization."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from accounts.models import Organization, User
from accounts.selectors import get_organization_of

P = ParamSpec("P")
OrganizationView = Callable[Concatenate[HttpRequest, Organization, P], HttpResponse]
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def organization_page(view: OrganizationView[P]) -> View[P]:
    """Gives a page the signed-in user's organization; leads others to log in, or to create one. Never cached."""

    @wraps(view)
    def show(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        organization = get_organization_of(get_user(request))
        if organization is None:
            return redirect("console:set-up")
        return view(request, organization, *args, **kwargs)

    return never_cache(login_required(show))


def get_user(request: HttpRequest) -> User:
    """The signed-in user of a page that only signed-in users reach."""
    if not isinstance(request.user, User):
        raise TypeError("This page is not for visitors.")
    return request.user
