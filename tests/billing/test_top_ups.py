"""Credit bought through Stripe Checkout, over HTTP against the fake."""

from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, Organization
from billing import top_ups
from billing.exceptions import (
    PaymentsNotConfiguredError,
    PaymentUnavailableError,
    TopUpAmountError,
    TopUpMismatchError,
    TopUpNotFoundError,
)
from billing.models import Journal, TopUp
from billing.money import PUSD_PER_USD
from billing.selectors import can_take_payments, get_funds
from billing.top_ups import complete_top_up, reconcile_top_ups, start_top_up
from tests.billing.concurrency import run_at_once
from tests.billing.stripe_fake import SESSIONS, StripeFake

pytestmark = pytest.mark.django_db

CREDIT_PUSD = PUSD_PER_USD


def let_pass(**age: float) -> None:
    TopUp.objects.update(created_at=timezone.now() - timedelta(**age))


def only_session(fake: StripeFake) -> str:
    (session_id,) = fake.sessions
    return session_id


def pay_top_up(fake: StripeFake, top_up: dict[str, Any]) -> str:
    start_top_up(**top_up)
    fake.pay(only_session(fake))
    return only_session(fake)


def test_it_asks_stripe_for_whole_cents_under_its_own_key(stripe_fake: StripeFake, top_up: dict[str, Any]) -> None:
    url = start_top_up(**top_up)
    row = TopUp.objects.get()
    assert (row.state, row.checkout_session_id) == (TopUp.State.OPEN, only_session(stripe_fake))
    assert url == f"https://checkout.stripe.test/{row.checkout_session_id}"
    ((method, path, key, sent),) = stripe_fake.requests
    assert (method, path, key) == ("POST", SESSIONS, row.pk)
    assert parse_qs(sent)["line_items[0][price_data][unit_amount]"] == ["2000"]


def test_it_says_that_payments_are_not_configured(top_up: dict[str, Any], settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    assert not can_take_payments()
    with pytest.raises(PaymentsNotConfiguredError):
        start_top_up(**top_up)
    assert not TopUp.objects.exists()


@pytest.mark.parametrize("amount_cents", [-500, 0, 499, 100_001])
def test_it_refuses_amounts_out_of_bounds(amount_cents: int, stripe_fake: StripeFake, top_up: dict[str, Any]) -> None:
    with pytest.raises(TopUpAmountError):
        start_top_up(**top_up | {"amount_cents": amount_cents})
    assert not stripe_fake.requests


@pytest.mark.parametrize("amount_cents", [500, 100_000])
def test_it_takes_the_bounds_themselves(amount_cents: int, stripe_fake: StripeFake, top_up: dict[str, Any]) -> None:
    assert start_top_up(**top_up | {"amount_cents": amount_cents})


def test_a_paid_top_up_is_credited_once_however_often_it_is_completed(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    session_id = pay_top_up(stripe_fake, top_up)
    for _ in range(3):
        assert complete_top_up(checkout_session_id=session_id).state == TopUp.State.PAID
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 20 * PUSD_PER_USD
    assert Journal.objects.get(kind=Journal.Kind.TOP_UP).reference == TopUp.objects.get().pk


@pytest.mark.django_db(transaction=True)
def test_a_paid_top_up_is_credited_once_by_ten_at_once(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    session_id = pay_top_up(stripe_fake, top_up)
    outcomes = run_at_once(*[partial(complete_top_up, checkout_session_id=session_id)] * 10)
    assert {outcome.state for outcome in outcomes} == {TopUp.State.PAID}
    assert AuditEvent.objects.filter(action="top_up.paid").count() == 1
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 20 * PUSD_PER_USD


def test_an_unpaid_top_up_is_not_credited(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    start_top_up(**top_up)
    assert complete_top_up(checkout_session_id=only_session(stripe_fake)).state == TopUp.State.OPEN
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD


def test_a_payment_that_arrives_before_the_session_is_saved_is_credited(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    session_id = pay_top_up(stripe_fake, top_up)
    TopUp.objects.update(state=TopUp.State.CREATED, checkout_session_id=None)
    complete_top_up(checkout_session_id=session_id)
    assert TopUp.objects.get().checkout_session_id == session_id
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 20 * PUSD_PER_USD


@pytest.mark.parametrize("paid", [{"amount_total": 1_999}, {"currency": "jpy"}])
def test_another_amount_than_asked_for_is_not_credited(
    paid: dict[str, Any], stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    session_id = pay_top_up(stripe_fake, top_up)
    stripe_fake.sessions[session_id].update(paid)
    with pytest.raises(TopUpMismatchError):
        complete_top_up(checkout_session_id=session_id)
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD
    assert TopUp.objects.get().state == TopUp.State.OPEN


def test_a_session_that_no_top_up_began_is_not_found(stripe_fake: StripeFake, top_up: dict[str, Any]) -> None:
    session_id = pay_top_up(stripe_fake, top_up)
    stripe_fake.sessions[session_id]["client_reference_id"] = "somebody-else"
    for unknown in (session_id, "cs_test_unknown", "../../charges"):
        with pytest.raises(TopUpNotFoundError):
            complete_top_up(checkout_session_id=unknown)


@pytest.mark.parametrize("failure", ["lose-response", 500])
def test_a_call_that_fails_underway_leaves_one_session(
    failure: Any, stripe_fake: StripeFake, top_up: dict[str, Any]
) -> None:
    stripe_fake.failures.append(failure)
    start_top_up(**top_up)
    first, second = stripe_fake.requests if failure == "lose-response" else stripe_fake.requests * 2
    assert first == second
    assert TopUp.objects.get().checkout_session_id == only_session(stripe_fake)


@pytest.mark.parametrize("failures", [[429], [500] * 3, ["lose-response"] * 3])
def test_a_call_that_fails_for_good_is_made_again_under_the_same_key(
    failures: list[Any], stripe_fake: StripeFake, top_up: dict[str, Any]
) -> None:
    stripe_fake.failures += failures
    with pytest.raises(PaymentUnavailableError):
        start_top_up(**top_up)
    assert TopUp.objects.get().state == TopUp.State.CREATED
    let_pass(minutes=11)
    assert reconcile_top_ups() == 1
    assert TopUp.objects.get().checkout_session_id == only_session(stripe_fake)
    assert len(set(stripe_fake.requests)) == 1


def crash_before_saving(monkeypatch: pytest.MonkeyPatch, top_up: dict[str, Any]) -> None:
    def crash(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(top_ups, "_remember_session", crash)
        with pytest.raises(KeyboardInterrupt):
            start_top_up(**top_up)


def test_a_crash_before_the_session_is_saved_is_made_good_within_a_day(
    stripe_fake: StripeFake, top_up: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_before_saving(monkeypatch, top_up)
    let_pass(minutes=11)
    reconcile_top_ups()
    assert TopUp.objects.get().checkout_session_id == only_session(stripe_fake)


def test_after_a_day_the_session_is_looked_up_and_never_made_again(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_before_saving(monkeypatch, top_up)
    lost = only_session(stripe_fake)
    for _ in range(5):
        start_top_up(**top_up)
    TopUp.objects.exclude(checkout_session_id=None).delete()
    stripe_fake.pay(lost)
    stripe_fake.forget_idempotency_keys()
    for session in stripe_fake.sessions.values():
        session["created"] -= 25 * 3600
    let_pass(hours=25)
    reconcile_top_ups()
    assert len(stripe_fake.sessions) == 6
    assert TopUp.objects.get().state == TopUp.State.PAID
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 20 * PUSD_PER_USD


def test_after_a_day_without_a_session_the_top_up_expires(stripe_fake: StripeFake, top_up: dict[str, Any]) -> None:
    stripe_fake.failures.append(429)
    with pytest.raises(PaymentUnavailableError):
        start_top_up(**top_up)
    let_pass(hours=25)
    reconcile_top_ups()
    assert TopUp.objects.get().state == TopUp.State.EXPIRED
    assert not stripe_fake.sessions


def test_a_session_that_nobody_paid_expires(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    start_top_up(**top_up)
    stripe_fake.expire(only_session(stripe_fake))
    let_pass(minutes=11)
    reconcile_top_ups()
    assert TopUp.objects.get().state == TopUp.State.EXPIRED
    assert reconcile_top_ups() == 0
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD


def test_a_payment_whose_webhook_was_lost_is_credited(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    pay_top_up(stripe_fake, top_up)
    assert reconcile_top_ups() == 0
    let_pass(minutes=11)
    assert reconcile_top_ups() == 1
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 20 * PUSD_PER_USD


def test_one_top_up_that_cannot_be_reconciled_does_not_stop_the_others(
    stripe_fake: StripeFake, top_up: dict[str, Any], organization: Organization
) -> None:
    start_top_up(**top_up)
    stripe_fake.sessions[pay := only_session(stripe_fake)]["amount_total"] = 1
    stripe_fake.pay(pay)
    start_top_up(**top_up)
    stripe_fake.pay(list(stripe_fake.sessions)[1])
    TopUp.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    assert reconcile_top_ups() == 2
    assert get_funds(organization.pk).balance_pusd == CREDIT_PUSD + 20 * PUSD_PER_USD
