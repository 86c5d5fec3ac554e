"""Public writes of billing. Every decision about money is one conditional UPDATE, never a read followed by a write."""

from collections import defaultdict
from collections.abc import Sequence

from django.conf import settings
from django.db import connection, transaction

from accounts.models import Organization
from billing.exceptions import ChargeExceedsHoldError, InsufficientBalanceError, NoPriceError
from billing.hold_closing import ClosedHold, close_open_holds
from billing.ledger import open_balance, post_charges, post_journal, require_transaction
from billing.models import Hold, Journal, Posting, Price
from billing.money import MAX_PUSD
from billing.pricing import cost_pusd
from billing.row_inserts import insert_rows
from billing.selectors import list_prices
from billing.types import Charge, HoldClosing, HoldRequest, UsedTokens

# Subtracted, since a sum could leave 64 bits: held is between 0 and the balance. Plain SQL, as every request comes by:
# to compile a query costs more than to run this one.
RESERVE = """
UPDATE billing_balance SET held_pusd = held_pusd + %s WHERE organization_id = %s AND held_pusd <= balance_pusd - %s
"""


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


def set_price(*, model: str, input_pusd: int, output_pusd: int, cached_input_pusd: int | None = None) -> Price:
    """A new version of a model's price, in effect for the next request; a cached token costs half of an input token if
    nothing is said. IntegrityError for a negative price, or a cached token that is dearer than another."""
    return Price.objects.create(
        model=model,
        input_pusd=input_pusd,
        output_pusd=output_pusd,
        cached_input_pusd=input_pusd // 2 if cached_input_pusd is None else cached_input_pusd,
    )


@transaction.atomic
def place_hold(
    *, request_id: str, organization_id: str, model: str, prompt_tokens: int, max_completion_tokens: int
) -> Hold:
    """Sets aside the most that a request can cost, at today's price.

    Raises InsufficientBalanceError when the balance does not cover it (or is missing), NoPriceError for an unpriced
    model, ValueError for a negative count, IntegrityError for a request id that had a hold before.
    """
    most = UsedTokens(prompt=prompt_tokens, completion=max_completion_tokens)
    placed = place_holds([HoldRequest(request_id, organization_id, model, most)])[request_id]
    if isinstance(placed, Exception):
        raise placed
    return placed


def place_holds(requests: Sequence[HoldRequest]) -> dict[str, Hold | InsufficientBalanceError | NoPriceError]:
    """As `place_hold`, for many with a few statements: each request id with its hold, or why it has none.

    Where an organization's balance does not cover all that it asks for at once, it is asked for each in turn.
    Raises IntegrityError, and the caller's transaction must not commit, when a request id had a hold before;
    RuntimeError outside a transaction.
    """
    require_transaction()
    outcomes: dict[str, Hold | InsufficientBalanceError | NoPriceError] = {}
    prices = list_prices({request.model for request in requests})
    by_organization: defaultdict[str, list[Hold]] = defaultdict(list)
    for request in requests:
        price = prices.get(request.model)
        if price is None:
            outcomes[request.request_id] = NoPriceError(f"Model {request.model} has no price in effect.")
            continue
        by_organization[request.organization_id].append(
            Hold(
                request_id=request.request_id,
                organization_id=request.organization_id,
                price=price,
                amount_pusd=cost_pusd(price, request.most),
            )
        )
    # In one order everywhere: whoever changes several balances in one transaction waits for no one who waits for it.
    covered = [hold for _, holds in sorted(by_organization.items()) for hold in _cover(holds)]
    insert_rows(covered)
    outcomes |= {hold.request_id: hold for hold in covered}
    return {request.request_id: outcomes.get(request.request_id) or InsufficientBalanceError() for request in requests}


def _cover(holds: list[Hold]) -> list[Hold]:
    """Those of one organization's holds that its balance covers, and now speaks for."""
    if _reserve(holds[0].organization_id, sum(hold.amount_pusd for hold in holds)):
        return holds
    return [hold for hold in holds if _reserve(hold.organization_id, hold.amount_pusd)] if len(holds) > 1 else []


def _reserve(organization_id: str, amount_pusd: int) -> bool:
    if amount_pusd > MAX_PUSD:
        return False
    with connection.cursor() as cursor:
        cursor.execute(RESERVE, [amount_pusd, organization_id, amount_pusd])
        return bool(cursor.rowcount)


@transaction.atomic
def settle_hold(
    *, request_id: str, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0, is_batch: bool = False
) -> int | None:
    """Charges what was used, at the price of the hold, and frees the rest; once.

    Returns the cost in picodollars, or None when the hold had been closed before: then nothing changed. Raises
    ChargeExceedsHoldError, and changes nothing, when the hold does not cover it; ValueError for a negative count.
    """
    used = UsedTokens(prompt=prompt_tokens, completion=completion_tokens, cached=cached_tokens, is_batch=is_batch)
    return close_holds([HoldClosing(request_id, used)]).get(request_id)


@transaction.atomic
def release_hold(*, request_id: str) -> bool:
    """Frees a hold without charging; False when it had been closed before."""
    return bool(close_holds([HoldClosing(request_id, None)]))


def close_holds(closings: Sequence[HoldClosing]) -> dict[str, int]:
    """Settles and releases many holds, each once, with a few statements.

    Returns the cost in picodollars of each that was closed now, by request id: 0 where it was released. An id whose
    hold was closed before is left out. Raises ChargeExceedsHoldError, and the caller's transaction must not commit,
    where one does not cover its charge; RuntimeError outside a transaction.
    """
    require_transaction()
    used = {closing.request_id: closing.used for closing in closings}
    holds = close_open_holds(used)
    charges = [_charge(hold, used[hold.request_id]) for hold in holds]
    post_charges(charges)
    return {charge.request_id: charge.cost_pusd for charge in charges}


def _charge(hold: ClosedHold, used: UsedTokens | None) -> Charge:
    cost = cost_pusd(hold, used) if used else 0
    if cost > hold.amount_pusd:
        raise ChargeExceedsHoldError(f"{hold.request_id} used {cost} of {hold.amount_pusd} pUSD held.")
    return Charge(
        request_id=hold.request_id,
        organization_id=hold.organization_id,
        held_pusd=hold.amount_pusd,
        cost_pusd=cost,
    )
