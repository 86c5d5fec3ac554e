"""The only writer of journals and postings.

Callers hold a transaction: a journal and what it pays for stand or fall together.
"""

from collections import defaultdict
from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import F

from accounts.models import Organization
from billing.exceptions import LedgerError
from billing.models import Balance, Journal, Posting
from billing.money import MAX_PUSD
from billing.row_inserts import insert_rows
from billing.types import Charge

# Plain SQL where every request comes by: to compile a query costs more than to run this one.
TAKE = """
UPDATE billing_balance SET balance_pusd = balance_pusd - %s, held_pusd = held_pusd - %s
WHERE organization_id = %s AND balance_pusd >= %s AND held_pusd >= %s
"""


def post_journal(
    *, organization_id: str, kind: Journal.Kind, reference: str, against: Posting.Account, amount_pusd: int
) -> bool:
    """Moves `amount_pusd` from `against` to the customer's credit (the other way when negative), once per reference.

    Returns False, and changes nothing, when the same journal was posted before. Raises LedgerError, and the caller's
    transaction must not commit, when the amount is 0, when the reference stands for another organization or amount,
    and when the balance is missing or would leave its bounds; RuntimeError outside a transaction.
    """
    require_transaction()
    if not 0 < abs(amount_pusd) <= MAX_PUSD:
        raise LedgerError(f"{amount_pusd} pUSD cannot be posted.")
    journal, created = Journal.objects.get_or_create(
        kind=kind, reference=reference, defaults={"organization_id": organization_id}
    )
    if not created:
        _require_same(journal, organization_id, amount_pusd)
        return False
    legs = ((Posting.Account.CUSTOMER, amount_pusd), (against, -amount_pusd))
    Posting.objects.bulk_create(Posting(journal=journal, account=account, amount_pusd=leg) for account, leg in legs)
    _change_balance(organization_id, amount_pusd)
    return True


def require_transaction() -> None:
    """Raises RuntimeError outside a transaction."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("Money moves inside the transaction that it accounts for.")


def post_charges(charges: Sequence[Charge]) -> None:
    """Takes the cost of closed holds from their organizations' credit and frees what they held.

    A journal for each that cost something, and one change of each balance. Raises LedgerError, and the caller's
    transaction must not commit, when a balance is missing or does not cover its charges; IntegrityError when one of
    the requests was charged before.
    """
    _post_usage([charge for charge in charges if charge.cost_pusd])
    by_organization: defaultdict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        by_organization[charge.organization_id].append(charge)
    for organization_id, of_one in sorted(by_organization.items()):
        cost_pusd = sum(charge.cost_pusd for charge in of_one)
        held_pusd = sum(charge.held_pusd for charge in of_one)
        if not _take(organization_id, cost_pusd, held_pusd):
            raise LedgerError(f"{organization_id} has no balance that covers {cost_pusd} pUSD of {held_pusd} held.")


def _take(organization_id: str, cost_pusd: int, held_pusd: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [cost_pusd, held_pusd, organization_id, cost_pusd, held_pusd])
        return bool(cursor.rowcount)


def _post_usage(charges: Sequence[Charge]) -> None:
    journals = [
        Journal(organization_id=charge.organization_id, kind=Journal.Kind.USAGE, reference=charge.request_id)
        for charge in charges
    ]
    journal_ids = dict(insert_rows(journals, returning=("reference", "id")))
    postings = [
        Posting(journal_id=journal_ids[charge.request_id], account=account, amount_pusd=sign * charge.cost_pusd)
        for charge in charges
        for account, sign in ((Posting.Account.CUSTOMER, -1), (Posting.Account.REVENUE, 1))
    ]
    insert_rows(postings)


def open_balance(organization: Organization) -> None:
    Balance.objects.get_or_create(organization=organization)


def _require_same(journal: Journal, organization_id: str, amount_pusd: int) -> None:
    posted_pusd = journal.postings.get(account=Posting.Account.CUSTOMER).amount_pusd
    if (journal.organization_id, posted_pusd) != (organization_id, amount_pusd):
        raise LedgerError(f"{journal.kind} {journal.reference} was posted before with another owner or amount.")


def _change_balance(organization_id: str, amount_pusd: int) -> None:
    # The bounds are compared without adding first: past 64 bits PostgreSQL fails and SQLite turns to floats.
    within = Balance.objects.filter(
        pk=organization_id, balance_pusd__lte=MAX_PUSD - max(amount_pusd, 0), balance_pusd__gte=max(-amount_pusd, 0)
    )
    if not within.update(balance_pusd=F("balance_pusd") + amount_pusd):
        raise LedgerError(f"{organization_id} has no balance that {amount_pusd} pUSD could change.")
