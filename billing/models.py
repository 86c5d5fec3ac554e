"""Prices, holds and the ledger. Balances are derived from postings; the database itself refuses to change a posting.

What the constraints of the tables cannot say is in billing/append_only.py.
"""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.identifiers import ID_LENGTH, random_text
from accounts.models import Organization, User


def new_top_up_id() -> str:
    return f"topup_{random_text(ID_LENGTH)}"


class Price(models.Model):
    """One immutable version of a model's price; the newest that is in effect applies to new requests.

    A prompt's token that the prefix cache had costs half of the input price, rounded down, unless a version says else.
    """

    model = models.CharField(max_length=100)
    input_pusd = models.BigIntegerField("input, pUSD per token")
    cached_input_pusd = models.BigIntegerField(
        "cached input, pUSD per token", blank=True, help_text="Empty: half of the input price."
    )
    output_pusd = models.BigIntegerField("output, pUSD per token")
    effective_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["model", "effective_at"], name="price_one_version_at_a_time"),
            models.CheckConstraint(condition=Q(input_pusd__gte=0, output_pusd__gte=0), name="price_not_negative"),
            models.CheckConstraint(
                condition=Q(cached_input_pusd__gte=0, cached_input_pusd__lte=F("input_pusd")),
                name="price_cached_is_no_dearer",
            ),
        )

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_at:%Y-%m-%d}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        said: int | None = self.cached_input_pusd
        self.cached_input_pusd = self.input_pusd // 2 if said is None else said
        super().save(*args, **kwargs)


class Balance(models.Model):
    """What an organization has, and how much of it open holds have spoken for. A replay of the postings rebuilds it."""

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="balance"
    )
    balance_pusd = models.BigIntegerField(default=0)
    held_pusd = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(held_pusd__gte=0), name="balance_held_not_negative"),
            models.CheckConstraint(condition=Q(balance_pusd__gte=F("held_pusd")), name="balance_covers_holds"),
        )

    def __str__(self) -> str:
        return f"Balance of {self.organization_id}"


class Hold(models.Model):
    """Money set aside for one request at the price of that moment, until the request is settled or released."""

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        RELEASED = "released"

    request_id = models.CharField(primary_key=True, max_length=40)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="holds")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+")
    amount_pusd = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(amount_pusd__gte=0), name="hold_not_negative"),)
        indexes = (models.Index(fields=["created_at"], condition=Q(state="open"), name="hold_open_by_age"),)

    def __str__(self) -> str:
        return f"Hold for {self.request_id}"


class Journal(models.Model):
    """One event that moved money. Its postings sum to zero; `(kind, reference)` happens once."""

    class Kind(models.TextChoices):
        PROMOTION = "promotion", "Promotional credit"
        GRANT = "grant", "Credit granted by staff"
        TOP_UP = "top_up", "Top-up"
        USAGE = "usage", "Usage"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="journals")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    reference = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["kind", "reference"], name="journal_once"),)
        indexes = (models.Index(fields=["organization", "-created_at"], name="journal_by_organization"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.reference}"


class Posting(models.Model):
    """One leg of a journal. Credits of an account are positive: a customer's balance is the sum of its postings."""

    class Account(models.TextChoices):
        CUSTOMER = "customer", "Customer credit"
        REVENUE = "revenue", "Revenue"
        CASH = "cash", "Cash at Stripe"
        PROMOTIONS = "promotions", "Promotions given"

    journal = models.ForeignKey(Journal, on_delete=models.PROTECT, related_name="postings")
    account = models.CharField(max_length=20, choices=Account.choices)
    amount_pusd = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["journal", "account"], name="posting_once_per_account"),
            models.CheckConstraint(condition=~Q(amount_pusd=0), name="posting_moves_money"),
        )

    def __str__(self) -> str:
        return f"{self.account} {self.amount_pusd} pUSD"


class TopUp(models.Model):
    """A payment that a developer began. The row is written before Stripe is asked, so that a crash loses nothing.

    It holds all that the call to Stripe says, so that a repeated call is the same to the byte; its id is the call's
    idempotency key.
    """

    class State(models.TextChoices):
        CREATED = "created"
        OPEN = "open"
        PAID = "paid"
        EXPIRED = "expired"

    id = models.CharField(primary_key=True, max_length=40, default=new_top_up_id, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="top_ups")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    amount_cents = models.PositiveIntegerField()
    success_url = models.CharField("address after payment", max_length=500)
    cancel_url = models.CharField("address after giving up", max_length=500)
    state = models.CharField(max_length=10, choices=State.choices, default=State.CREATED)
    checkout_session_id = models.CharField(max_length=255, unique=True, null=True)  # noqa: DJ001  many without one
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    paid_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(amount_cents__gt=0), name="top_up_positive"),)
        indexes = (
            models.Index(fields=["created_at"], condition=Q(state__in=("created", "open")), name="top_up_unpaid"),
        )

    def __str__(self) -> str:
        return f"Top-up {self.pk}"


class StripeEvent(models.Model):
    """The inbox of webhooks: each event once, kept as it came, worked through afterwards."""

    event_id = models.CharField(max_length=255, unique=True)
    event_type = models.CharField(max_length=100)
    body = models.TextField()
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    processed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = (models.Index(fields=["received_at"], condition=Q(processed_at=None), name="stripe_event_waiting"),)

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
