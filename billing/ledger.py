"""The only writer of journals and postings.

Callers hold a transaction: a journal and what it pays for stand or fall together.
"""

from django.db import transaction
from django.db.models import F

from accounts.models import Organization
from billing.exceptions import LedgerError
from billing.models import Balance, Journal, Posting
from billing.money import MAX_PUSD


def post_journal(
    *, organization_id: str, kind: Journal.Kind, reference: str, against: Posting.Account, amount_pusd: int
) -> bool:
    """Moves `amount_pusd` from `against` to the customer's credit (the other way when negative), once per reference.

    Returns False, and changes nothing, when the same journal was posted before. Raises LedgerError, and the caller's
    transaction must not commit, when the amount is 0, when the reference stands for another organization or amount,
    and when the balance is missing or would leave its bounds; RuntimeError outside a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("A journal is posted inside the transaction that it accounts for.")
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
