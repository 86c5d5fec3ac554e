"""Top-ups: money comes in through Stripe Checkout and becomes credit, once.

No call to Stripe happens inside a transaction. The row comes first, so that whatever crashes, `reconcile_top_ups` finds
what was begun; a top-up only ever moves forward, to `paid`, so return page, webhook and sweep may come in any order.
"""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import Organization, User
from accounts.services import record_event
from billing import stripe_gateway
from billing.exceptions import (
    BillingError,
    PaymentsNotConfiguredError,
    TopUpAmountError,
    TopUpMismatchError,
    TopUpNotFoundError,
)
from billing.ledger import open_balance, post_journal
from billing.models import Journal, Posting, TopUp
from billing.money import PUSD_PER_CENT
from billing.selectors import can_take_payments

logger = logging.getLogger(__name__)

MIN_CENTS = 500
MAX_CENTS = 100_000
# Stripe may forget an idempotency key after 24 hours; past this a call is looked up, never made again.
KEY_LIFETIME = timedelta(hours=23)
# Younger top-ups are still in somebody's hands.
RECONCILE_AFTER = timedelta(minutes=10)
RECONCILE_AT_ONCE = 100


def start_top_up(
    *, organization: Organization, created_by: User, amount_cents: int, success_url: str, cancel_url: str
) -> str:
    """The address of a Stripe page that takes `amount_cents`; a card is charged only there.

    Raises PaymentsNotConfiguredError, TopUpAmountError outside 5 to 1,000 USD, PaymentUnavailableError.
    """
    if not can_take_payments():
        raise PaymentsNotConfiguredError
    if not MIN_CENTS <= amount_cents <= MAX_CENTS:
        raise TopUpAmountError
    # Durable: the row must outlive whatever happens while Stripe is asked.
    with transaction.atomic(durable=True):
        top_up = TopUp.objects.create(
            organization=organization,
            created_by=created_by,
            amount_cents=amount_cents,
            success_url=success_url,
            cancel_url=cancel_url,
        )
        record_event(organization=organization, actor=created_by, action="top_up.started", target=top_up.pk)
    return _open_top_up(top_up).url


def complete_top_up(*, checkout_session_id: str) -> TopUp:
    """Credits a top-up if Stripe says that it is paid; any number of calls, in any order, credit once.

    The caller decides who may see the returned top-up: it belongs to the organization that began it. Raises
    TopUpNotFoundError for a session that no top-up began, TopUpMismatchError, PaymentUnavailableError.
    """
    return _apply_session(stripe_gateway.get_checkout_session(checkout_session_id))


def reconcile_top_ups() -> int:
    """Follows up the top-ups that nobody brought to an end; returns how many it looked at."""
    due = TopUp.objects.filter(
        state__in=(TopUp.State.CREATED, TopUp.State.OPEN), created_at__lt=timezone.now() - RECONCILE_AFTER
    )
    top_ups = list(due.order_by("created_at")[:RECONCILE_AT_ONCE])
    for top_up in top_ups:
        try:
            _follow_up(top_up)
        except BillingError:
            # One that Stripe cannot answer for must not stand in the way of the others.
            logger.exception("Top-up %s could not be reconciled.", top_up.pk)
    return len(top_ups)


def _open_top_up(top_up: TopUp) -> stripe_gateway.CheckoutSession:
    session = stripe_gateway.create_checkout_session(top_up)
    _remember_session(top_up.pk, session.id)
    return session


def _follow_up(top_up: TopUp) -> None:
    if top_up.checkout_session_id:
        complete_top_up(checkout_session_id=top_up.checkout_session_id)
    elif top_up.created_at > timezone.now() - KEY_LIFETIME:
        _open_top_up(top_up)
    else:
        _look_up(top_up)


def _look_up(top_up: TopUp) -> None:
    session = stripe_gateway.find_checkout_session(
        top_up_id=top_up.pk, after=top_up.created_at, before=top_up.created_at + KEY_LIFETIME
    )
    if session is not None:
        _apply_session(session)
    else:
        _expire(top_up.pk)


def _apply_session(session: stripe_gateway.CheckoutSession) -> TopUp:
    top_up = TopUp.objects.filter(pk=session.top_up_id).first()
    if top_up is None:
        raise TopUpNotFoundError
    if session.is_paid:
        _credit(top_up, session)
    elif session.is_expired:
        _expire(top_up.pk)
    else:
        _remember_session(top_up.pk, session.id)
    top_up.refresh_from_db()
    return top_up


def _remember_session(top_up_id: str, checkout_session_id: str) -> None:
    is_new = TopUp.objects.filter(pk=top_up_id, state=TopUp.State.CREATED)
    is_new.update(state=TopUp.State.OPEN, checkout_session_id=checkout_session_id)


@transaction.atomic
def _credit(top_up: TopUp, session: stripe_gateway.CheckoutSession) -> None:
    if (session.amount_total_cents, session.currency) != (top_up.amount_cents, "usd"):
        raise TopUpMismatchError(f"{top_up.pk}: {session.amount_total_cents} {session.currency} were paid.")
    unpaid = TopUp.objects.filter(pk=top_up.pk).exclude(state=TopUp.State.PAID)
    if not unpaid.update(state=TopUp.State.PAID, paid_at=timezone.now(), checkout_session_id=session.id):
        return
    open_balance(top_up.organization)
    post_journal(
        organization_id=top_up.organization_id,
        kind=Journal.Kind.TOP_UP,
        reference=top_up.pk,
        against=Posting.Account.CASH,
        amount_pusd=session.amount_total_cents * PUSD_PER_CENT,
    )
    record_event(organization=top_up.organization, actor=top_up.created_by, action="top_up.paid", target=top_up.pk)


def _expire(top_up_id: str) -> None:
    unpaid = TopUp.objects.filter(pk=top_up_id, state__in=(TopUp.State.CREATED, TopUp.State.OPEN))
    unpaid.update(state=TopUp.State.EXPIRED)
