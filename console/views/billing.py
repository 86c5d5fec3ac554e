"""Credit: what is left, what moved it, what calls cost, and how to add some."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from accounts.models import Organization
from billing.exceptions import (
    BillingError,
    PaymentsNotConfiguredError,
    PaymentUnavailableError,
    TopUpAmountError,
    TopUpNotFoundError,
)
from billing.models import TopUp
from billing.money import PUSD_PER_CENT, format_usd
from billing.selectors import can_take_payments, get_funds, list_journals
from billing.top_ups import complete_top_up, start_top_up
from console.access import get_user, organization_page
from console.forms import TopUpForm
from console.prices import list_prices

ENTRIES_PER_PAGE = 50


@require_http_methods(["GET", "POST"])
@organization_page
def billing(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = TopUpForm(request.POST or None)
    if form.is_valid():
        return _start_top_up(request, organization, form.amount_cents)
    context = {
        "organization": organization,
        "form": form,
        "funds": get_funds(organization.pk),
        "journals": Paginator(list_journals(organization.pk), ENTRIES_PER_PAGE).get_page(request.GET.get("page")),
        "prices": list_prices(),
        "can_take_payments": can_take_payments(),
    }
    return render(request, "console/billing.html", context)


@organization_page
def top_up_done(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Where Stripe leads back to. The webhook credits the same top-up; whichever comes first does it, once."""
    try:
        top_up = complete_top_up(checkout_session_id=request.GET.get("session_id", ""))
    except TopUpNotFoundError:
        raise Http404 from None
    except BillingError:
        messages.warning(request, "Stripe has not confirmed the payment yet. It is credited as soon as it has.")
        return redirect("console:billing")
    if top_up.organization_id != organization.pk:
        raise Http404
    if top_up.state == TopUp.State.PAID:
        messages.success(request, f"{format_usd(top_up.amount_cents * PUSD_PER_CENT)} of credit was added.")
    else:
        messages.warning(request, "The payment is not complete yet. It is credited as soon as Stripe confirms it.")
    return redirect("console:billing")


def _start_top_up(request: HttpRequest, organization: Organization, amount_cents: int) -> HttpResponse:
    billing_url = request.build_absolute_uri(reverse("console:billing"))
    done_url = request.build_absolute_uri(reverse("console:top-up-done"))
    try:
        checkout_url = start_top_up(
            organization=organization,
            created_by=get_user(request),
            amount_cents=amount_cents,
            # Stripe puts the session's id in place of the braces.
            success_url=f"{done_url}?session_id={{CHECKOUT_SESSION_ID}}",
            cancel_url=billing_url,
        )
    except (PaymentsNotConfiguredError, PaymentUnavailableError, TopUpAmountError) as error:
        messages.error(request, error.message)
        checkout_url = billing_url
    is_fragment = "HX-Request" in request.headers
    return HttpResponseClientRedirect(checkout_url) if is_fragment else redirect(checkout_url)
