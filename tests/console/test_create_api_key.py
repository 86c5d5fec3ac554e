from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey, Membership, Organization, Project, User
from accounts.selectors import get_caller
from billing.money import PUSD_PER_USD
from billing.selectors import get_funds

pytestmark = pytest.mark.django_db


def create_key(*arguments: str) -> str:
    output = StringIO()
    call_command("create_api_key", "--email", "new@example.com", *arguments, stdout=output)
    return output.getvalue()


def test_it_prints_a_key_that_works_and_nothing_else() -> None:
    output = create_key()
    assert output.count("\n") == 1
    caller = get_caller(f"Bearer {output.strip()}")
    assert (caller.api_key_id, caller.plan) == (ApiKey.objects.get().pk, "free")


def test_it_makes_user_organization_and_project_once() -> None:
    assert create_key() != create_key()
    for model in (User, Membership, Organization, Project):
        assert model.objects.count() == 1
    assert ApiKey.objects.count() == 2


def test_a_new_user_has_no_usable_password() -> None:
    create_key()
    assert not User.objects.get().has_usable_password()


def test_it_takes_the_organization_a_user_has(organization: Organization) -> None:
    output = StringIO()
    call_command("create_api_key", "--email", "ADA@example.com", stdout=output)
    assert get_caller(f"Bearer {output.getvalue().strip()}").organization_id == organization.pk


def test_it_sets_the_plan_only_when_told() -> None:
    create_key("--plan", "developer")
    create_key()
    assert Organization.objects.get().plan == "developer"


def test_it_grants_credit_each_time_beside_the_promotion() -> None:
    create_key()
    promotion_pusd = get_funds(Organization.objects.get().pk).balance_pusd
    create_key("--credit-usd", "25")
    create_key("--credit-usd", "0.000000000001")
    assert get_funds(Organization.objects.get().pk).balance_pusd - promotion_pusd == 25 * PUSD_PER_USD + 1


@pytest.mark.parametrize("credit", ["ten", "nan", "Infinity", "-1", "1e-13", "99999999999"])
def test_it_refuses_credit_that_the_ledger_cannot_hold_and_makes_nothing(credit: str) -> None:
    with pytest.raises(CommandError, match="--credit-usd"):
        create_key(f"--credit-usd={credit}")
    assert not User.objects.exists()


def test_it_refuses_what_is_no_address() -> None:
    with pytest.raises(CommandError, match="e-mail address"):
        call_command("create_api_key", "--email", "nobody")
