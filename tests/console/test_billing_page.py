from typing import Any

import pytest
from django.test import Client

from accounts.models import Organization
from billing.exceptions import PaymentUnavailableError, TopUpNotFoundError
from billing.models import TopUp
from billing.services import grant_credit, place_hold
from console.views import billing
from tests.console.pages import text_in, text_of

CHECKOUT = "https://checkout.stripe.com/c/pay/cs_test_1"


@pytest.fixture
def stripe_key(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_of_the_page"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, stripe_key: None) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def start(**asked: Any) -> str:
        calls.append(asked)
        return CHECKOUT

    monkeypatch.setattr(billing, "start_top_up", start)
    return calls


def test_it_shows_what_is_available_and_what_is_held(browser: Client, organization: Organization) -> None:
    place_hold(
        request_id="req_1", organization_id=organization.pk, model="lpu-demo", prompt_tokens=1, max_completion_tokens=0
    )
    response = browser.get("/billing")
    assert "Available $0.99999995" in text_of(response)
    assert "Held for running calls $0.00000005" in text_of(response)


def test_the_ledger_lists_the_newest_entry_first_with_its_exact_amount(
    browser: Client, organization: Organization
) -> None:
    grant_credit(organization=organization, amount_pusd=5, reference="thanks")
    text = text_of(browser.get("/billing"))
    assert text.index("Credit granted by staff thanks +$0.000000000005") < text.index("Promotional credit")


def test_a_long_ledger_has_pages(browser: Client, organization: Organization) -> None:
    for number in range(50):
        grant_credit(organization=organization, amount_pusd=1, reference=f"grant-{number}")
    assert "Page 1 of 2" in text_of(browser.get("/billing"))
    assert "Promotional credit" in text_of(browser.get("/billing?page=2"))


def test_it_shows_the_prices(browser: Client) -> None:
    assert "lpu-demo $0.05 $0.025 $0.08" in text_of(browser.get("/billing"))


def test_without_a_stripe_key_it_says_so(browser: Client) -> None:
    text = text_of(browser.get("/billing"))
    assert "Payments are not configured on this installation." in text
    assert "Pay with Stripe" not in text


def test_a_top_up_leads_to_stripe(browser: Client, organization: Organization, started: list[dict[str, Any]]) -> None:
    response = browser.post("/billing", {"amount_usd": "12.34"})
    assert response["Location"] == CHECKOUT
    assert started[0]["amount_cents"] == 1_234
    assert started[0]["organization"] == organization
    assert started[0]["success_url"].endswith("/billing/top-up-done?session_id={CHECKOUT_SESSION_ID}")


def test_a_top_up_by_htmx_leads_to_stripe_too(browser: Client, started: list[dict[str, Any]]) -> None:
    response = browser.post("/billing", {"amount_usd": "10"}, headers={"hx-request": "true"})
    assert response["HX-Redirect"] == CHECKOUT


@pytest.mark.parametrize("amount", ["4.99", "1000.01", "10.001", "ten", ""])
def test_an_amount_out_of_bounds_is_refused_in_place(
    browser: Client, started: list[dict[str, Any]], amount: str
) -> None:
    response = browser.post("/billing", {"amount_usd": amount})
    assert response.status_code == 200
    assert 'class="field__errors"' in response.content.decode()
    assert not started


def test_a_silent_stripe_is_reported(browser: Client, monkeypatch: pytest.MonkeyPatch, stripe_key: None) -> None:
    def fail(**asked: Any) -> str:
        raise PaymentUnavailableError

    monkeypatch.setattr(billing, "start_top_up", fail)
    response = browser.post("/billing", {"amount_usd": "10"}, follow=True)
    assert "You have not been charged" in text_of(response)


def test_coming_back_from_stripe_says_what_was_added(
    browser: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = TopUp(organization=organization, amount_cents=1_000, state=TopUp.State.PAID)
    monkeypatch.setattr(billing, "complete_top_up", lambda checkout_session_id: paid)
    assert "$10.00 of credit was added." in text_of(browser.get("/billing/top-up-done?session_id=cs_1", follow=True))


def test_another_organizations_payment_is_not_shown(
    browser: Client, neighbour: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = TopUp(organization=neighbour, amount_cents=1_000, state=TopUp.State.PAID)
    monkeypatch.setattr(billing, "complete_top_up", lambda checkout_session_id: theirs)
    assert browser.get("/billing/top-up-done?session_id=cs_1").status_code == 404


def test_an_unknown_payment_is_not_found(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(checkout_session_id: str) -> TopUp:
        raise TopUpNotFoundError

    monkeypatch.setattr(billing, "complete_top_up", fail)
    assert browser.get("/billing/top-up-done?session_id=cs_1").status_code == 404


def test_the_available_figure_is_money(browser: Client) -> None:
    assert text_in(browser.get("/billing"), "available").startswith("$1.00")
