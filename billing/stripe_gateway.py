"""The one place that talks to Stripe. `import stripe` costs 0.4 s, so it happens at the first use."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from billing.exceptions import (
    EventSignatureError,
    PaymentsNotConfiguredError,
    PaymentUnavailableError,
    TopUpNotFoundError,
)
from billing.models import TopUp

if TYPE_CHECKING:
    from stripe import StripeClient
    from stripe.checkout import Session
    from stripe.params.checkout import SessionCreateParams, SessionListParams

NETWORK_RETRIES = 2
EVENT_TOLERANCE_S = 300
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """What a top-up needs to know of a Checkout session; `url` is empty once the session is over."""

    id: str
    top_up_id: str
    url: str
    is_paid: bool
    is_expired: bool
    amount_total_cents: int
    currency: str


@dataclass(frozen=True, slots=True)
class SignedEvent:
    event_id: str
    event_type: str


def create_checkout_session(top_up: TopUp) -> CheckoutSession:
    """Asks Stripe for the top-up's session. Asked again within 23 hours, Stripe answers with the same one."""
    with _stripe_errors():
        options: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": top_up.pk,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": top_up.amount_cents,
                        "product_data": {"name": "API credit"},
                    },
                }
            ],
            "success_url": top_up.success_url,
            "cancel_url": top_up.cancel_url,
        }
        return _read_session(_client().v1.checkout.sessions.create(options, {"idempotency_key": top_up.pk}))


def get_checkout_session(checkout_session_id: str) -> CheckoutSession:
    with _stripe_errors():
        return _read_session(_client().v1.checkout.sessions.retrieve(checkout_session_id))


def find_checkout_session(*, top_up_id: str, after: datetime, before: datetime) -> CheckoutSession | None:
    """The session that was made for a top-up between two times, or None: for when its idempotency key is too old."""
    options: SessionListParams = {
        "limit": 100,
        "created": {
            "gte": int((after - CLOCK_TOLERANCE).timestamp()),
            "lte": int((before + CLOCK_TOLERANCE).timestamp()),
        },
    }
    with _stripe_errors():
        page = _client().v1.checkout.sessions.list(options)
        for session in page.auto_paging_iter():
            if session.client_reference_id == top_up_id:
                return _read_session(session)
    return None


def read_event(*, body: bytes, signature: str) -> SignedEvent:
    """The identity of a webhook whose signature holds for exactly this body.

    Raises EventSignatureError, also for a time more than 300 s away in either direction: Stripe's own check lets the
    future pass. The error names neither body, header nor secret.
    """
    from stripe import SignatureVerificationError, WebhookSignature

    try:
        WebhookSignature.verify_header(body, signature, settings.STRIPE_WEBHOOK_SECRET, EVENT_TOLERANCE_S)
    except (SignatureVerificationError, UnicodeDecodeError):
        raise EventSignatureError from None
    signed_at_s = int(next(part[2:] for part in signature.split(",") if part.startswith("t=")))
    if signed_at_s > time.time() + EVENT_TOLERANCE_S:
        raise EventSignatureError
    event = json.loads(body)
    return SignedEvent(event_id=event["id"], event_type=event["type"])


@contextmanager
def _stripe_errors() -> Iterator[None]:
    """Stripe's errors as billing's own. Their text is dropped: it can quote the request."""
    import stripe

    try:
        yield
    except stripe.InvalidRequestError as error:
        if error.http_status == 404:
            raise TopUpNotFoundError from None
        raise PaymentUnavailableError from error
    except stripe.StripeError as error:
        raise PaymentUnavailableError from error


def _client() -> "StripeClient":
    if not settings.STRIPE_SECRET_KEY:
        raise PaymentsNotConfiguredError
    return _client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@cache
def _client_for(secret_key: str, api_base: str) -> "StripeClient":
    from stripe import StripeClient

    if not api_base:
        return StripeClient(secret_key, max_network_retries=NETWORK_RETRIES)
    return StripeClient(secret_key, base_addresses={"api": api_base}, max_network_retries=NETWORK_RETRIES)


def _read_session(session: "Session") -> CheckoutSession:
    return CheckoutSession(
        id=session.id,
        top_up_id=session.client_reference_id or "",
        url=session.url or "",
        is_paid=session.payment_status == "paid",
        is_expired=session.status == "expired",
        amount_total_cents=session.amount_total or 0,
        currency=session.currency or "",
    )
