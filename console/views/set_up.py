"""For users who came without signing up, for example by createsuperuser: an organization of their own."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from accounts.selectors import get_organization_of
from console.access import get_user
from console.sign_up import set_up_organization


@never_cache
@login_required
def set_up(request: HttpRequest) -> HttpResponse:
    user = get_user(request)
    if get_organization_of(user) is not None:
        return redirect("console:home")
    if request.method == "POST":
        set_up_organization(owner=user)
        return redirect("console:home")
    return render(request, "console/set_up.html")
