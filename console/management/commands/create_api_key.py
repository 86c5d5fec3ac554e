"""`manage.py create_api_key`: prints a new key and nothing else, so that a script can take it as it is."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from accounts.models import Plan
from billing.money import MAX_PUSD, PUSD_PER_USD
from console.key_provision import provide_api_key


def read_credit_pusd(text: str) -> int:
    """Picodollars of an amount in USD; CommandError unless it is a whole number of them that the ledger can hold."""
    try:
        credit_pusd = Decimal(text) * PUSD_PER_USD
    except InvalidOperation:
        raise CommandError(f"--credit-usd is {text!r}; it takes an amount in USD, for example 25 or 0.50.") from None
    if not credit_pusd.is_finite() or credit_pusd != credit_pusd.to_integral_value():
        raise CommandError(f"--credit-usd is {text!r}; the smallest unit is 0.000000000001 USD.")
    # Half of the range leaves room for what the balance holds already.
    if not 0 <= credit_pusd <= MAX_PUSD // 2:
        raise CommandError(f"--credit-usd is {text!r}; it takes 0 to {MAX_PUSD // 2 // PUSD_PER_USD:,} USD.")
    return int(credit_pusd)


class Command(BaseCommand):
    help = "Makes what is missing (user, organization, project) and prints a new API key, and only that."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="the developer's address; a new user gets no password")
        parser.add_argument("--plan", choices=Plan.values, help="the organization's plan; unchanged by default")
        parser.add_argument("--credit-usd", default="0", help="credit to grant to the organization")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            validate_email(options["email"])
        except ValidationError:
            raise CommandError(f"--email is {options['email']!r}; it takes an e-mail address.") from None
        plan = Plan(options["plan"]) if options["plan"] else None
        credit_pusd = read_credit_pusd(options["credit_usd"])
        issued = provide_api_key(email=options["email"], plan=plan, credit_pusd=credit_pusd)
        self.stdout.write(issued.secret)
