"""Staff's view of money. Nothing here changes any: prices gain versions, all else is read."""

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from billing.models import Balance, Hold, Journal, Posting, Price, StripeEvent, TopUp
from billing.money import PUSD_PER_USD_PER_MILLION, format_usd
from billing.selectors import with_customer_amount


def show_amount(amount_pusd: int | None) -> str:
    """Readable, with what the ledger says beside it."""
    amount_pusd = amount_pusd or 0
    return f"{format_usd(amount_pusd)} ({amount_pusd:,} pUSD)"


def show_price(price_pusd: int) -> str:
    usd_per_million = Decimal(price_pusd) / PUSD_PER_USD_PER_MILLION
    return f"{usd_per_million:f} ({price_pusd:,} pUSD per token)"


class Unchanging:
    """What is there stays as it is: staff look at it and cannot edit it."""

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnly(Unchanging):
    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Price)
class PriceAdmin(Unchanging, ModelAdmin):  # type: ignore[misc]
    """A price change is a new version; requests already admitted keep theirs."""

    list_display = ("model", "input", "cached_input", "output", "effective_at")
    list_filter = ("model", "effective_at")
    search_fields = ("model",)
    ordering = ("model", "-effective_at")

    @admin.display(description="input, USD per million tokens")
    def input(self, price: Price) -> str:
        return show_price(price.input_pusd)

    @admin.display(description="cached input, USD per million tokens")
    def cached_input(self, price: Price) -> str:
        return show_price(price.cached_input_pusd)

    @admin.display(description="output, USD per million tokens")
    def output(self, price: Price) -> str:
        return show_price(price.output_pusd)


@admin.register(Balance)
class BalanceAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("organization", "organization_id", "balance", "held", "available")
    fields = ("organization", "balance", "held", "available")
    search_fields = ("organization__id", "organization__name")
    list_select_related = ("organization",)

    @admin.display(ordering="balance_pusd")
    def balance(self, row: Balance) -> str:
        return show_amount(row.balance_pusd)

    @admin.display(ordering="held_pusd")
    def held(self, row: Balance) -> str:
        return show_amount(row.held_pusd)

    @admin.display
    def available(self, row: Balance) -> str:
        return show_amount(row.balance_pusd - row.held_pusd)


@admin.register(Hold)
class HoldAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("request_id", "organization", "amount", "state", "created_at", "closed_at")
    fields = ("request_id", "organization", "price", "amount", "state", "created_at", "closed_at")
    list_filter = ("state", "created_at")
    search_fields = ("request_id", "organization__id", "organization__name")
    list_select_related = ("organization",)
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @admin.display(ordering="amount_pusd")
    def amount(self, hold: Hold) -> str:
        return show_amount(hold.amount_pusd)


class PostingInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = Posting
    fields = ("account", "amount")
    readonly_fields = fields
    extra = 0

    @admin.display
    def amount(self, posting: Posting) -> str:
        return show_amount(posting.amount_pusd)


@admin.register(Journal)
class JournalAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("reference", "kind", "organization", "to_customer", "created_at")
    fields = ("kind", "reference", "organization", "to_customer", "created_at")
    list_filter = ("kind", "created_at")
    search_fields = ("reference", "organization__id", "organization__name")
    list_select_related = ("organization",)
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-pk")
    inlines = (PostingInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Journal]:
        journals: QuerySet[Journal] = with_customer_amount(super().get_queryset(request))
        return journals

    @admin.display(description="to the customer")
    def to_customer(self, journal: Any) -> str:
        return show_amount(journal.amount_pusd)


@admin.register(TopUp)
class TopUpAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("id", "organization", "amount", "state", "created_by", "created_at", "paid_at")
    fields = ("id", "organization", "amount", "state", "checkout_session_id", "created_by", "created_at", "paid_at")
    list_filter = ("state", "created_at")
    search_fields = ("id", "checkout_session_id", "organization__id", "organization__name")
    list_select_related = ("organization", "created_by")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @admin.display(ordering="amount_cents")
    def amount(self, top_up: TopUp) -> str:
        return f"${top_up.amount_cents / 100:,.2f}"


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("event_id", "event_type", "received_at", "processed_at")
    fields = ("event_id", "event_type", "body", "received_at", "processed_at")
    list_filter = ("event_type", "received_at", ("processed_at", admin.EmptyFieldListFilter))
    search_fields = ("event_id", "event_type", "body")
    date_hierarchy = "received_at"
    ordering = ("-received_at",)
