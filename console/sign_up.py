"""Signing up: the one place where a new user gets an organization, a project and the first credit."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.db import transaction
from django.http import HttpRequest

from accounts.models import Organization, Plan, User
from accounts.services import create_organization
from billing.services import open_account


@transaction.atomic
def set_up_organization(*, owner: User, plan: Plan = Plan.FREE) -> Organization:
    """The organization that a new developer starts with, named after the address until they rename it."""
    name = f"{owner.email.partition('@')[0]}'s organization"[:150]
    organization = create_organization(owner=owner, name=name, plan=plan)
    open_account(organization=organization)
    return organization


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's seam: user and organization are made in one transaction, so neither exists without the other."""

    @transaction.atomic
    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        saved: User = super().save_user(request, user, form, commit)
        if commit:
            set_up_organization(owner=saved)
        return saved
