"""Money is set aside before a request, and settled or released once."""

from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Organization
from billing.exceptions import ChargeExceedsHoldError, InsufficientBalanceError, NoPriceError
from billing.models import Hold, Journal, Price
from billing.selectors import get_funds
from billing.services import place_hold, place_holds, release_hold, set_price, settle_hold
from billing.types import Funds, HoldRequest, UsedTokens
from tests.billing.concurrency import run_at_once

# One USD of promotional credit, at 80,000 pUSD for an output token.
CREDIT_PUSD = 10**12
OUTPUT_PUSD = 80_000


def hold(organization: Organization, request_id: str = "req_1", tokens: int = 100, model: str = "lpu-demo") -> Hold:
    return place_hold(
        request_id=request_id,
        organization_id=organization.pk,
        model=model,
        prompt_tokens=0,
        max_completion_tokens=tokens,
    )


def settle(request_id: str = "req_1", tokens: int = 10) -> int | None:
    return settle_hold(request_id=request_id, prompt_tokens=0, completion_tokens=tokens)


@pytest.mark.django_db
def test_it_sets_the_most_aside_and_charges_what_was_used(organization: Organization) -> None:
    hold(organization)
    assert get_funds(organization.pk) == Funds(balance_pusd=CREDIT_PUSD, held_pusd=100 * OUTPUT_PUSD)
    assert settle() == 10 * OUTPUT_PUSD
    assert get_funds(organization.pk) == Funds(balance_pusd=CREDIT_PUSD - 10 * OUTPUT_PUSD, held_pusd=0)


@pytest.mark.django_db
def test_it_charges_nothing_for_a_released_hold(organization: Organization) -> None:
    hold(organization)
    assert release_hold(request_id="req_1")
    assert not release_hold(request_id="req_1")
    assert settle() is None
    assert get_funds(organization.pk) == Funds(balance_pusd=CREDIT_PUSD, held_pusd=0)


@pytest.mark.django_db
def test_it_holds_the_last_picodollar_and_not_one_more(organization: Organization) -> None:
    hold(organization, "req_1", CREDIT_PUSD // OUTPUT_PUSD)
    with pytest.raises(InsufficientBalanceError):
        hold(organization, "req_2", 1)
    assert not Hold.objects.filter(pk="req_2").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("tokens", [(2**63 - 1) // OUTPUT_PUSD, 2**62, 2**63, 10**30])
def test_it_refuses_what_no_balance_can_cover(tokens: int, organization: Organization) -> None:
    hold(organization, "req_1")
    with pytest.raises(InsufficientBalanceError):
        hold(organization, "req_2", tokens)


@pytest.mark.django_db
def test_it_refuses_an_organization_without_a_balance() -> None:
    with pytest.raises(InsufficientBalanceError):
        hold(Organization.objects.create(name="No account"))


@pytest.mark.django_db
def test_it_refuses_a_model_without_a_price(organization: Organization) -> None:
    with pytest.raises(NoPriceError):
        hold(organization, model="unpriced")


@pytest.mark.django_db
def test_it_refuses_negative_tokens(organization: Organization) -> None:
    with pytest.raises(ValueError, match="not negative"):
        hold(organization, tokens=-1)
    hold(organization)
    with pytest.raises(ValueError, match="not negative"):
        settle(tokens=-1)
    assert get_funds(organization.pk).held_pusd == 100 * OUTPUT_PUSD


@pytest.mark.django_db
def test_it_never_charges_more_than_was_held(organization: Organization) -> None:
    hold(organization)
    with pytest.raises(ChargeExceedsHoldError):
        settle(tokens=101)
    assert get_funds(organization.pk) == Funds(balance_pusd=CREDIT_PUSD, held_pusd=100 * OUTPUT_PUSD)


@pytest.mark.django_db
def test_a_price_change_does_not_touch_a_request_under_way(organization: Organization) -> None:
    hold(organization)
    Price.objects.create(model="lpu-demo", input_pusd=10**6, output_pusd=10**6)
    assert settle() == 10 * OUTPUT_PUSD
    assert hold(organization, "req_2").amount_pusd == 100 * 10**6


@pytest.mark.django_db
def test_a_cached_token_costs_half_rounded_down_unless_a_version_says_else() -> None:
    assert set_price(model="odd", input_pusd=5, output_pusd=1).cached_input_pusd == 2
    assert Price.objects.create(model="odder", input_pusd=7, output_pusd=1).cached_input_pusd == 3
    assert set_price(model="free", input_pusd=5, output_pusd=1, cached_input_pusd=0).cached_input_pusd == 0
    with pytest.raises(IntegrityError), transaction.atomic():
        set_price(model="dear", input_pusd=5, output_pusd=1, cached_input_pusd=6)


@pytest.mark.django_db
def test_a_batch_holds_and_costs_half_and_the_cache_saves_it_nothing_more(organization: Organization) -> None:
    set_price(model="odd", input_pusd=5, output_pusd=2)
    most = UsedTokens(prompt=3, completion=10, is_batch=True)
    with transaction.atomic():
        (placed,) = place_holds([HoldRequest("req_1", organization.pk, "odd", most)]).values()
    assert isinstance(placed, Hold)
    assert placed.amount_pusd == (3 * 5 + 10 * 2) // 2
    charged = settle_hold(request_id="req_1", prompt_tokens=3, cached_tokens=2, completion_tokens=1, is_batch=True)
    assert charged == (3 * 5 + 1 * 2) // 2


@pytest.mark.django_db
def test_no_more_tokens_are_cached_than_a_prompt_has(organization: Organization) -> None:
    hold(organization)
    with pytest.raises(ValueError, match="cached"):
        settle_hold(request_id="req_1", prompt_tokens=3, cached_tokens=4, completion_tokens=1)


@pytest.mark.django_db
def test_a_price_of_tomorrow_does_not_apply_today(organization: Organization) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    Price.objects.create(model="lpu-demo", input_pusd=1, output_pusd=1, effective_at=tomorrow)
    assert hold(organization).amount_pusd == 100 * OUTPUT_PUSD


@pytest.mark.django_db
def test_one_request_id_is_charged_once_in_a_hundred_tries(organization: Organization) -> None:
    hold(organization)
    assert [settle() for _ in range(100)].count(10 * OUTPUT_PUSD) == 1
    for _ in range(100):
        with pytest.raises(IntegrityError):
            hold(organization)
    assert get_funds(organization.pk) == Funds(balance_pusd=CREDIT_PUSD - 10 * OUTPUT_PUSD, held_pusd=0)
    assert Journal.objects.filter(kind=Journal.Kind.USAGE).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_holds_exactly_those_that_the_balance_affords_succeed(organization: Organization) -> None:
    third = CREDIT_PUSD // OUTPUT_PUSD // 3
    outcomes = run_at_once(*[partial(hold, organization, f"req_{number}", third) for number in range(12)])
    assert sum(isinstance(outcome, Hold) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, InsufficientBalanceError) for outcome in outcomes) == 9
    assert get_funds(organization.pk).held_pusd == 3 * third * OUTPUT_PUSD


@pytest.mark.django_db(transaction=True)
def test_settling_and_releasing_at_once_has_one_outcome(organization: Organization) -> None:
    for number in range(5):
        request_id = f"req_{number}"
        before_pusd = get_funds(organization.pk).balance_pusd
        hold(organization, request_id)
        calls = [partial(settle, request_id), partial(release_hold, request_id=request_id)]
        outcomes = run_at_once(*calls * 3)
        assert [bool(outcome) for outcome in outcomes].count(True) == 1, outcomes
        charged_pusd = 10 * OUTPUT_PUSD * (Hold.objects.get(pk=request_id).state == Hold.State.SETTLED)
        assert get_funds(organization.pk) == Funds(balance_pusd=before_pusd - charged_pusd, held_pusd=0)
