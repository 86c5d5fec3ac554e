"""What Stripe sends: only what it signed, stored once, worked through in any order."""

import itertools
import json
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from billing.events import process_event, process_waiting_events
from billing.models import StripeEvent, TopUp
from billing.money import PUSD_PER_USD
from billing.selectors import get_funds
from billing.tasks import process_stripe_event
from billing.top_ups import start_top_up
from tests.billing.concurrency import run_at_once
from tests.billing.stripe_fake import WEBHOOK_SECRET, StripeFake, sign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("billing.urls")]

ADDRESS = "/stripe/webhook"
COMPLETED = "checkout.session.completed"
PAID_PUSD = 21 * PUSD_PER_USD


@pytest.fixture
def sent_tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The events handed to the worker; tests run them when they please."""
    event_ids: list[str] = []
    monkeypatch.setattr(process_stripe_event, "delay", event_ids.append)
    return event_ids


@pytest.fixture
def session_id(stripe_fake: StripeFake, top_up: dict[str, Any], sent_tasks: list[str]) -> str:
    """A Checkout session that was paid."""
    start_top_up(**top_up)
    (session_id,) = stripe_fake.sessions
    stripe_fake.pay(session_id)
    return session_id


def deliver(body: str, signature: str | None = None) -> Any:
    client = Client(enforce_csrf_checks=True)
    headers = {"stripe-signature": sign(body) if signature is None else signature}
    return client.post(ADDRESS, data=body, content_type="application/json", headers=headers)


def test_a_signed_event_is_stored_as_it_came_and_its_payment_credited(
    stripe_fake: StripeFake, session_id: str, sent_tasks: list[str], organization: Organization
) -> None:
    body = stripe_fake.event(COMPLETED, session_id)
    assert deliver(body).status_code == 204
    event = StripeEvent.objects.get()
    assert (event.body, event.event_type, event.processed_at) == (body, COMPLETED, None)
    assert sent_tasks == [event.event_id]
    process_stripe_event(event.event_id)
    event.refresh_from_db()
    assert event.processed_at is not None
    assert get_funds(organization.pk).balance_pusd == PAID_PUSD


@pytest.mark.parametrize(
    "tamper",
    [
        lambda body: (body, ""),
        lambda body: (body, "nonsense"),
        lambda body: (body, sign(body, secret="whsec_other")),
        lambda body: (body, sign(body, at_s=int(time.time()) - 400)),
        lambda body: (body, sign(body, at_s=int(time.time()) + 400)),
        lambda body: (json.dumps(json.loads(body)), sign(body)),
        lambda body: (body.replace(COMPLETED, "checkout.session.expired"), sign(body)),
    ],
    ids=["unsigned", "nonsense", "other-secret", "stale", "future", "re-serialised", "changed"],
)
def test_what_stripe_did_not_sign_is_refused_and_not_stored(
    tamper: Any, stripe_fake: StripeFake, session_id: str, sent_tasks: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert deliver(*tamper(stripe_fake.event(COMPLETED, session_id))).status_code == 400
    assert not StripeEvent.objects.exists()
    assert not sent_tasks
    assert WEBHOOK_SECRET not in caplog.text


def test_a_body_that_is_not_text_is_refused(stripe_fake: StripeFake) -> None:
    refused = Client().post(ADDRESS, b"\xff\xfe", content_type="application/json", headers={"stripe-signature": "t=1"})
    assert refused.status_code == 400


def test_only_posts_are_taken() -> None:
    assert Client().get(ADDRESS).status_code == 405


def test_without_a_secret_nothing_is_taken(settings: Any) -> None:
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert deliver("{}", sign("{}", secret="whsec_")).status_code == 503


def test_ten_deliveries_at_once_have_one_effect(
    stripe_fake: StripeFake, session_id: str, sent_tasks: list[str], organization: Organization
) -> None:
    body = stripe_fake.event(COMPLETED, session_id)
    answers = run_at_once(*[partial(deliver, body)] * 10)
    assert [answer.status_code for answer in answers] == [204] * 10
    event_id = StripeEvent.objects.get().event_id
    run_at_once(*[partial(process_event, event_id=event_id)] * 10)
    assert get_funds(organization.pk).balance_pusd == PAID_PUSD


def test_an_event_that_was_processed_is_not_sent_to_the_worker_again(
    stripe_fake: StripeFake, session_id: str, sent_tasks: list[str]
) -> None:
    body = stripe_fake.event(COMPLETED, session_id)
    deliver(body)
    process_event(event_id=sent_tasks[0])
    assert deliver(body).status_code == 204
    assert len(sent_tasks) == 1


def test_events_in_any_order_lead_to_the_same_end(
    stripe_fake: StripeFake, session_id: str, sent_tasks: list[str], organization: Organization
) -> None:
    kinds = [COMPLETED, "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed"]
    for order in itertools.permutations(kinds):
        for kind in order:
            deliver(stripe_fake.event(kind, session_id))
            process_event(event_id=sent_tasks[-1])
        assert TopUp.objects.get().state == TopUp.State.PAID
        assert get_funds(organization.pk).balance_pusd == PAID_PUSD


def test_an_event_of_another_kind_or_owner_is_set_aside(
    stripe_fake: StripeFake, session_id: str, sent_tasks: list[str], organization: Organization
) -> None:
    stripe_fake.sessions[session_id]["client_reference_id"] = "somebody-else"
    for kind in (COMPLETED, "customer.created"):
        deliver(stripe_fake.event(kind, session_id))
        process_event(event_id=sent_tasks[-1])
    assert not StripeEvent.objects.filter(processed_at=None).exists()
    assert get_funds(organization.pk).balance_pusd == PUSD_PER_USD


def test_an_event_whose_task_was_lost_or_failed_is_found_again(
    stripe_fake: StripeFake, session_id: str, sent_tasks: list[str], organization: Organization
) -> None:
    deliver(stripe_fake.event(COMPLETED, session_id))
    assert process_waiting_events() == 0
    StripeEvent.objects.update(received_at=timezone.now() - timedelta(minutes=2))
    stripe_fake.failures.append(429)
    assert process_waiting_events() == 1
    assert get_funds(organization.pk).balance_pusd == PUSD_PER_USD
    assert process_waiting_events() == 1
    assert process_waiting_events() == 0
    assert get_funds(organization.pk).balance_pusd == PAID_PUSD
