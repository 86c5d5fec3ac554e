"""The admin's sidebar: every registered model in one of four groups, as far as the user may see it."""

from collections.abc import Callable
from typing import NotRequired, TypedDict

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from inference.alerts import count_differences


class Item(TypedDict):
    title: str
    icon: str
    link: str
    badge: NotRequired[int]


class Group(TypedDict):
    title: str
    separator: bool
    items: list[Item]


# Model, and the name of its symbol in the font that unfold ships.
GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "People": (
        ("accounts.User", "person"),
        ("accounts.Organization", "domain"),
        ("accounts.Membership", "group"),
        ("accounts.Project", "folder"),
        ("accounts.ApiKey", "key"),
        ("account.EmailAddress", "mail"),
        ("auth.Group", "shield_person"),
        ("accounts.AuditEvent", "history"),
    ),
    "Inference": (
        ("inference.LanguageModel", "memory"),
        ("inference.Deployment", "rocket_launch"),
        ("inference.ClusterChip", "developer_board"),
        ("inference.Job", "bolt"),
        ("inference.Check", "compare"),
        ("inference.RateLimit", "speed"),
    ),
    "Money": (
        ("billing.Price", "sell"),
        ("billing.Balance", "account_balance_wallet"),
        ("billing.Hold", "lock_clock"),
        ("billing.Journal", "menu_book"),
        ("billing.Posting", "receipt_long"),
        ("billing.TopUp", "credit_card"),
        ("billing.StripeEvent", "webhook"),
    ),
    "Reports": (("console.WeeklyReport", "monitoring"),),
}
# What staff are to see from any page: how many, in red; nothing for none.
BADGES: dict[str, Callable[[], int]] = {"inference.Check": count_differences}


def list_groups(request: HttpRequest) -> list[Group]:
    return [
        Group(title=title, separator=True, items=[item for entry in entries if (item := _item(request, *entry))])
        for title, entries in GROUPS.items()
    ]


def _item(request: HttpRequest, label: str, icon: str) -> Item | None:
    model = apps.get_model(label)
    if not admin.site.is_registered(model) or not admin.site.get_model_admin(model).has_view_permission(request):
        return None
    options = model._meta
    link = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    item = Item(title=capfirst(str(options.verbose_name_plural)), icon=icon, link=link)
    if label in BADGES and (count := BADGES[label]()):
        item["badge"] = count
    return item
