"""Public writes of billing. Every decision about money is one conditional UPDATE, never a read followed by a write."""

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import Organization
from billing.exceptions import ChargeExceedsHoldError, InsufficientBalanceError
from billing.ledger import open_balance, post_journal
from billing.models import Balance, Hold, Journal, Posting, Price
from billing.money import MAX_PUSD
from billing.selectors import get_price


@transaction.atomic
def open_account(*, organization: Organization) -> None:
    """A balance for a new organization, with the promotional credit that lets it start."""
    open_balance(organization)
    if not settings.PROMOTIONAL_CREDIT_PUSD:
        return
    post_journal(
        organization_id=organization.pk,
        kind=Journal.Kind.PROMOTION,
        reference=f"sign-up:{organization.pk}",
        against=Posting.Account.PROMOTIONS,
        amount_pusd=settings.PROMOTIONAL_CREDIT_PUSD,
    )


@transaction.atomic
def grant_credit(*, organization: Organization, amount_pusd: int, reference: str) -> bool:
    """Credit given by staff, once per reference; False when it was given before.

    Raises LedgerError when the reference was used for something else, ValueError for an amount that is not positive.
    """
    if amount_pusd <= 0:
        raise ValueError("A grant is a positive amount.")
    open_balance(organization)
    return post_journal(
        organization_id=organization.pk,
        kind=Journal.Kind.GRANT,
        reference=reference,
        against=Posting.Account.PROMOTIONS,
        amount_pusd=amount_pusd,
    )


def set_price(*, model: str, input_pusd: int, output_pusd: int) -> Price:
    """A new version of a model's price, in effect for the next request. IntegrityError for a negative price."""
    return Price.objects.create(model=model, input_pusd=input_pusd, output_pusd=output_pusd)


@transaction.atomic
def place_hold(
    *, request_id: str, organization_id: str, model: str, prompt_tokens: int, max_completion_tokens: int
) -> Hold:
    """Sets aside the most that a request can cost, at today's price.

    Raises InsufficientBalanceError when the balance does not cover it (or is missing), NoPriceError for an unpriced
    model, ValueError for a negative count, IntegrityError for a request id that had a hold before.
    """
    price = get_price(model)
    amount_pusd = _cost_pusd(price, prompt_tokens, max_completion_tokens)
    if amount_pusd > MAX_PUSD:
        raise InsufficientBalanceError
    # Subtracted, since a sum could leave 64 bits: held is between 0 and the balance.
    covered = Balance.objects.filter(pk=organization_id, held_pusd__lte=F("balance_pusd") - amount_pusd)
    if not covered.update(held_pusd=F("held_pusd") + amount_pusd):
        raise InsufficientBalanceError
    return Hold.objects.create(
        request_id=request_id, organization_id=organization_id, price=price, amount_pusd=amount_pusd
    )


@transaction.atomic
def settle_hold(*, request_id: str, prompt_tokens: int, completion_tokens: int) -> int | None:
    """Charges what was used, at the price of the hold, and frees the rest; once.

    Returns the cost in picodollars, or None when the hold had been closed before: then nothing changed. Raises
    ChargeExceedsHoldError, and changes nothing, when the hold does not cover it; ValueError for a negative count.
    """
    hold = _close_hold(request_id, Hold.State.SETTLED)
    if hold is None:
        return None
    cost_pusd = _cost_pusd(hold.price, prompt_tokens, completion_tokens)
    if cost_pusd > hold.amount_pusd:
        raise ChargeExceedsHoldError(f"{request_id} used {cost_pusd} of {hold.amount_pusd} pUSD held.")
    if cost_pusd:
        post_journal(
            organization_id=hold.organization_id,
            kind=Journal.Kind.USAGE,
            reference=request_id,
            against=Posting.Account.REVENUE,
            amount_pusd=-cost_pusd,
        )
    return cost_pusd


@transaction.atomic
def release_hold(*, request_id: str) -> bool:
    """Frees a hold without charging; False when it had been closed before."""
    return _close_hold(request_id, Hold.State.RELEASED) is not None


def _cost_pusd(price: Price, input_tokens: int, output_tokens: int) -> int:
    if input_tokens < 0 or output_tokens < 0:
        raise ValueError("Tokens are not negative.")
    return input_tokens * price.input_pusd + output_tokens * price.output_pusd


def _close_hold(request_id: str, state: Hold.State) -> Hold | None:
    is_open = Hold.objects.filter(pk=request_id, state=Hold.State.OPEN)
    if not is_open.update(state=state, closed_at=timezone.now()):
        return None
    hold = Hold.objects.select_related("price").get(pk=request_id)
    Balance.objects.filter(pk=hold.organization_id).update(held_pusd=F("held_pusd") - hold.amount_pusd)
    return hold
