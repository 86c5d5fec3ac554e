"""Celery tasks of billing, on the queue `periodic`."""

from celery import shared_task

from billing import events, top_ups
from billing.exceptions import PaymentUnavailableError
from billing.selectors import can_take_payments


@shared_task(
    name="billing.process_stripe_event", autoretry_for=(PaymentUnavailableError,), retry_backoff=True, max_retries=5
)
def process_stripe_event(event_id: str) -> None:
    events.process_event(event_id=event_id)


@shared_task(name="billing.reconcile_top_ups")
def reconcile_top_ups() -> None:
    """What webhooks and return pages left undone. Nothing to do without a Stripe key."""
    if can_take_payments():
        events.process_waiting_events()
        top_ups.reconcile_top_ups()
