"""Stripe's webhooks: kept as they came, answered at once, worked through afterwards, in any order."""

import json
import logging
from datetime import timedelta

from django.utils import timezone

from billing.exceptions import BillingError, TopUpNotFoundError
from billing.models import StripeEvent
from billing.stripe_gateway import SignedEvent
from billing.top_ups import complete_top_up

logger = logging.getLogger(__name__)

CHECKOUT = "checkout.session."
# A task that is merely late gets this long; one whose message was lost is found after it.
RETRY_AFTER = timedelta(minutes=1)
RETRY_FOR = timedelta(days=3)
RETRY_AT_ONCE = 100


def store_event(*, event: SignedEvent, body: str) -> bool:
    """Keeps an event, once; True if it still waits to be processed."""
    row, _ = StripeEvent.objects.get_or_create(
        event_id=event.event_id, defaults={"event_type": event.event_type, "body": body}
    )
    return row.processed_at is None


def process_event(*, event_id: str) -> None:
    """Does what an event asks for. The event only says where to look: what counts is what Stripe says now."""
    event = StripeEvent.objects.get(event_id=event_id)
    if event.processed_at is not None:
        return
    if event.event_type.startswith(CHECKOUT):
        try:
            complete_top_up(checkout_session_id=json.loads(event.body)["data"]["object"]["id"])
        except TopUpNotFoundError:
            logger.warning("Event %s is of a Checkout session that no top-up began.", event_id)
    StripeEvent.objects.filter(pk=event.pk, processed_at=None).update(processed_at=timezone.now())


def process_waiting_events() -> int:
    """Works through the events whose task was lost or failed; returns how many it tried."""
    now = timezone.now()
    waiting = StripeEvent.objects.filter(
        processed_at=None, received_at__lt=now - RETRY_AFTER, received_at__gt=now - RETRY_FOR
    )
    event_ids = list(waiting.order_by("received_at").values_list("event_id", flat=True)[:RETRY_AT_ONCE])
    for event_id in event_ids:
        try:
            process_event(event_id=event_id)
        except BillingError:
            logger.exception("Event %s could not be processed.", event_id)
    return len(event_ids)
