"""Journals: once each, within bounds, and always the same story as the balance."""

from collections.abc import Callable
from functools import partial

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization, User
from billing.exceptions import InsufficientBalanceError, LedgerError
from billing.ledger import post_journal
from billing.models import Hold, Journal, Posting
from billing.money import MAX_PUSD
from billing.selectors import get_funds, list_journals
from billing.services import grant_credit, open_account, place_hold, release_hold, settle_hold
from console.sign_up import set_up_organization
from tests.billing.concurrency import run_at_once

CREDIT_PUSD = 10**12


def grant(organization: Organization, amount_pusd: int, reference: str = "grant-1") -> bool:
    return grant_credit(organization=organization, amount_pusd=amount_pusd, reference=reference)


def replay_pusd(organization: Organization) -> int:
    postings = Posting.objects.filter(journal__organization=organization, account=Posting.Account.CUSTOMER)
    return sum(postings.values_list("amount_pusd", flat=True))


@pytest.mark.django_db
def test_the_first_credit_is_given_once(organization: Organization) -> None:
    open_account(organization=organization)
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD
    assert [journal.amount_pusd for journal in list_journals(organization.pk)] == [CREDIT_PUSD]


@pytest.mark.django_db
def test_a_grant_counts_once(organization: Organization) -> None:
    assert grant(organization, 5)
    assert not grant(organization, 5)
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 5


@pytest.mark.django_db
def test_a_reference_does_not_resolve_for_another_organization(organization: Organization) -> None:
    other = set_up_organization(owner=User.objects.create_user("grace@example.com", "long enough secret"))
    grant(organization, 5)
    with pytest.raises(LedgerError):
        grant(other, 5)
    assert get_funds(other.pk).balance_pusd == CREDIT_PUSD
    assert not list_journals(other.pk).filter(kind=Journal.Kind.GRANT).exists()


@pytest.mark.django_db
def test_a_reference_cannot_stand_for_two_amounts(organization: Organization) -> None:
    grant(organization, 5)
    with pytest.raises(LedgerError):
        grant(organization, 6)


@pytest.mark.django_db
@pytest.mark.parametrize("amount_pusd", [0, -1])
def test_a_grant_is_positive(amount_pusd: int, organization: Organization) -> None:
    with pytest.raises(ValueError, match="positive"):
        grant(organization, amount_pusd)


@pytest.mark.django_db
def test_a_balance_reaches_its_bound_and_no_further(organization: Organization) -> None:
    assert grant(organization, MAX_PUSD - CREDIT_PUSD)
    assert get_funds(organization.pk).balance_pusd == MAX_PUSD
    for number, amount_pusd in enumerate((1, MAX_PUSD, MAX_PUSD + 1)):
        with pytest.raises(LedgerError):
            grant(organization, amount_pusd, f"too-much-{number}")
    assert get_funds(organization.pk).balance_pusd == MAX_PUSD == replay_pusd(organization)


@pytest.mark.django_db
def test_a_journal_needs_a_balance() -> None:
    organization = Organization.objects.create(name="No account")
    with pytest.raises(LedgerError), transaction.atomic():
        post(organization)
    assert not Journal.objects.filter(organization=organization).exists()


@pytest.mark.django_db(transaction=True)
def test_a_journal_needs_a_transaction(organization: Organization) -> None:
    with pytest.raises(RuntimeError):
        post(organization)
    assert replay_pusd(organization) == CREDIT_PUSD


def post(organization: Organization) -> bool:
    return post_journal(
        organization_id=organization.pk,
        kind=Journal.Kind.GRANT,
        reference="direct",
        against=Posting.Account.PROMOTIONS,
        amount_pusd=5,
    )


@pytest.mark.django_db(transaction=True)
def test_one_reference_posted_at_once_counts_once(organization: Organization) -> None:
    outcomes = run_at_once(*[partial(grant, organization, 5)] * 8)
    assert (outcomes.count(True), outcomes.count(False)) == (1, 7)
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 5 == replay_pusd(organization)


REQUESTS = st.integers(0, 3).map("req_{}".format)
TOKENS = st.integers(0, 20_000_000)
STEPS = st.one_of(
    st.tuples(st.just("grant"), st.integers(0, 3).map(str), st.integers(1, 10**13)),
    st.tuples(st.just("hold"), REQUESTS, TOKENS),
    st.tuples(st.just("settle"), REQUESTS, TOKENS),
    st.tuples(st.just("release"), REQUESTS, st.just(0)),
)


def take(organization: Organization, step: str, name: str, size: int) -> None:
    steps: dict[str, Callable[[], object]] = {
        "grant": lambda: grant(organization, size, name),
        "hold": lambda: place_hold(
            request_id=name, organization_id=organization.pk, model="lpu-demo", prompt_tokens=size // 2,
            max_completion_tokens=size,
        ),
        "settle": lambda: settle_hold(request_id=name, prompt_tokens=size // 2, completion_tokens=size),
        "release": lambda: release_hold(request_id=name),
    }  # fmt: skip
    if step == "hold" and Hold.objects.filter(pk=name).exists():
        return
    try:
        with transaction.atomic():
            steps[step]()
    except (InsufficientBalanceError, LedgerError):
        return


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=st.lists(STEPS, max_size=15))
def test_whatever_happens_postings_sum_to_zero_and_a_replay_gives_the_balance(
    taken: list[tuple[str, str, int]], organization: Organization
) -> None:
    with transaction.atomic():
        for step in taken:
            take(organization, *step)
        funds = get_funds(organization.pk)
        open_pusd = Hold.objects.filter(state=Hold.State.OPEN).aggregate(total=Sum("amount_pusd"))["total"] or 0
        assert Posting.objects.aggregate(total=Sum("amount_pusd"))["total"] == 0
        assert funds.balance_pusd == replay_pusd(organization)
        assert funds.held_pusd == open_pusd <= funds.balance_pusd
        transaction.set_rollback(True)
