from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Organization, User
from inference.models import RateLimit

EMAIL = "ada@example.com"


def set_limits(*arguments: str, email: str = EMAIL) -> str:
    output = StringIO()
    call_command("set_limits", "--email", email, *arguments, stdout=output)
    return output.getvalue()


def test_limits_not_given_are_those_of_the_plan(organization: Organization) -> None:
    assert set_limits("--rpm", "7") == "rpm=7 rpd=14400 tpm=6000 tpd=500000\n"
    limits = RateLimit.objects.values_list("rpm", "rpd", "tpm", "tpd").get(organization=organization)
    assert limits == (7, 14_400, 6_000, 500_000)


def test_limits_not_given_keep_what_was_set_before(organization: Organization) -> None:
    set_limits("--rpm", "7", "--tpd", "0")
    assert set_limits("--rpd", "8", "--tpm", "9") == "rpm=7 rpd=8 tpm=9 tpd=0\n"


def test_it_prints_the_limits_in_force_without_changing_them(organization: Organization) -> None:
    assert set_limits().startswith("rpm=30 ")
    assert not RateLimit.objects.exists()


@pytest.mark.django_db
def test_an_unknown_address_is_an_error() -> None:
    with pytest.raises(CommandError, match="No user has the e-mail address"):
        set_limits("--rpm", "1", email="who@example.com")


def test_a_user_without_organization_is_an_error(user: User) -> None:
    with pytest.raises(CommandError, match="belongs to no organization"):
        set_limits("--rpm", "1")


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "1000000000000001"])
def test_a_limit_is_a_whole_number(organization: Organization, value: str) -> None:
    with pytest.raises(CommandError, match="whole number"):
        set_limits(f"--rpm={value}")
