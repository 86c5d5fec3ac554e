"""Money to test with."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from accounts.models import Organization, User
from billing import stripe_gateway
from billing.append_only import drop_triggers
from tests.billing.stripe_fake import SECRET_KEY, WEBHOOK_SECRET, StripeFake, run_stripe_fake

SUCCESS_URL = "https://console.test/billing?session_id={CHECKOUT_SESSION_ID}"
CANCEL_URL = "https://console.test/billing"


@pytest.fixture
def top_up(organization: Organization, user: User) -> dict[str, Any]:
    """What starts a top-up of 20 USD."""
    return {
        "organization": organization,
        "created_by": user,
        "amount_cents": 2_000,
        "success_url": SUCCESS_URL,
        "cancel_url": CANCEL_URL,
    }


@pytest.fixture
def stripe_fake(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeFake]:
    """Stripe as billing sees it, without pauses between retries."""
    from stripe import HTTPClient

    monkeypatch.setattr(HTTPClient, "_sleep_time_seconds", lambda *args: 0.0)
    with run_stripe_fake() as fake:
        settings.STRIPE_SECRET_KEY = SECRET_KEY
        settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
        settings.STRIPE_API_BASE = fake.url
        yield fake
    stripe_gateway._client_for.cache_clear()


@pytest.fixture
def unguarded_ledger(db: None) -> None:
    """The ledger without its triggers, inside this test's transaction: faults can be planted."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE" if connection.vendor == "postgresql" else "SELECT 1")
    drop_triggers(connection)
