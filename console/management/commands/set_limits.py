"""`manage.py set_limits`: rate limits of one organization, instead of its plan's."""

import argparse
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Organization, User
from accounts.selectors import get_default_project, get_organization_of
from accounts.types import Caller
from inference.limits import get_limits
from inference.models import RateLimit

DIMENSIONS = {
    "rpm": "requests per minute",
    "rpd": "requests per day",
    "tpm": "tokens per minute",
    "tpd": "tokens per day",
}
# The Lua script that decides counts in doubles, which are exact to 2**53.
MAX_LIMIT = 10**15


def read_limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {MAX_LIMIT:,}")
    return int(text)


def get_organization_by_email(email: str) -> Organization:
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        raise CommandError(f"No user has the e-mail address {email!r}.")
    organization = get_organization_of(user)
    if organization is None:
        raise CommandError(f"The user {email!r} belongs to no organization.")
    return organization


class Command(BaseCommand):
    help = "Changes the rate limits of a user's organization; those not given stay. Prints the limits in force."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="address of a member of the organization")
        for name, meaning in DIMENSIONS.items():
            parser.add_argument(f"--{name}", type=read_limit, metavar="N", help=meaning)

    def handle(self, *args: Any, **options: Any) -> None:
        organization = get_organization_by_email(options["email"])
        given = {name: options[name] for name in DIMENSIONS if options[name] is not None}
        project = get_default_project(organization)
        caller = Caller(organization_id=organization.pk, project_id=project.pk, plan=organization.plan)
        limits = asdict(get_limits(caller)) | given
        if given:
            RateLimit.objects.update_or_create(organization=organization, defaults=limits)
        self.stdout.write(" ".join(f"{name}={limits[name]}" for name in DIMENSIONS))
