"""Public reads of billing."""

from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from billing.exceptions import NoPriceError
from billing.models import Balance, Journal, Posting, Price
from billing.types import Funds

# Plain SQL, as every request comes by: to compile a query costs more than to run this one.
IN_EFFECT = "SELECT * FROM billing_price WHERE model IN ({places}) AND effective_at <= %s ORDER BY effective_at"


def get_price(model: str) -> Price:
    """The version of a model's price in effect now; NoPriceError if there is none."""
    price = Price.objects.filter(model=model, effective_at__lte=timezone.now()).order_by("-effective_at").first()
    if price is None:
        raise NoPriceError(f"Model {model} has no price in effect.")
    return price


def list_prices(models: Collection[str]) -> dict[str, Price]:
    """The versions in effect now, by model; a model without one is left out."""
    if not models:
        return {}
    statement = IN_EFFECT.format(places=", ".join(["%s"] * len(models)))
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return {price.model: price for price in Price.objects.raw(statement, [*models, now])}


def can_take_payments() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def get_funds(organization_id: str) -> Funds:
    row = Balance.objects.filter(pk=organization_id).values_list("balance_pusd", "held_pusd").first()
    balance_pusd, held_pusd = row or (0, 0)
    return Funds(balance_pusd=balance_pusd, held_pusd=held_pusd)


def get_revenue_pusd(*, start_at: datetime, end_at: datetime) -> int:
    """What usage journals written from `start_at` (inclusive) to `end_at` (exclusive) earned, in picodollars."""
    revenue = Posting.objects.filter(
        account=Posting.Account.REVENUE,
        journal__kind=Journal.Kind.USAGE,
        journal__created_at__gte=start_at,
        journal__created_at__lt=end_at,
    )
    return revenue.aggregate(total=Sum("amount_pusd"))["total"] or 0


def list_journals(organization_id: str) -> QuerySet[Journal]:
    """An organization's journals, newest first, each with `amount_pusd`: what it added to the balance."""
    return with_customer_amount(Journal.objects.filter(organization_id=organization_id)).order_by("-created_at", "-pk")


def with_customer_amount(journals: QuerySet[Journal]) -> QuerySet[Journal]:
    """Each with `amount_pusd`, its one posting on the customer's account."""
    of_customer = Posting.objects.filter(journal=OuterRef("pk"), account=Posting.Account.CUSTOMER)
    return journals.annotate(amount_pusd=Subquery(of_customer.values("amount_pusd")))
