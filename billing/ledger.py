"""The only writer of journals and postings. Callers hold a transaction: a journal and what it pays for stand or fall together."""

from django.db.models import F

from accounts.models import Organization
from billing.models import Balance, Journal, Posting


def post_journal(
    *, organization_id: str, kind: Journal.Kind, reference: str, against: Posting.Account, amount_pusd: int
) -> bool:
    """Moves `amount_pusd` from `against` to the customer's credit (from the customer when negative), once per reference.

    Returns False, and changes nothing, when the reference was posted before.
    """
    journal, created = Journal.objects.get_or_create(
        kind=kind, reference=reference, defaults={"organization_id": organization_id}
    )
    if not created:
        return False
    legs = ((Posting.Account.CUSTOMER, amount_pusd), (against, -amount_pusd))
    Posting.objects.bulk_create(Posting(journal=journal, account=account, amount_pusd=leg) for account, leg in legs)
    Balance.objects.filter(pk=organization_id).update(balance_pusd=F("balance_pusd") + amount_pusd)
    return True


def open_balance(organization: Organization) -> None:
    Balance.objects.get_or_create(organization=organization)
