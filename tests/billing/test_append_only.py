"""The database itself keeps the ledger: these tests speak SQL to it."""

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import Organization
from billing.models import Journal, Posting, Price
from billing.selectors import get_price

TABLES = ("billing_posting", "billing_journal", "billing_price")


def execute(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@transaction.atomic
def add_journal(organization: Organization, *amounts_pusd: int) -> Journal:
    journal = Journal.objects.create(organization=organization, kind="grant", reference="by hand")
    accounts = (Posting.Account.CUSTOMER, Posting.Account.CASH, Posting.Account.REVENUE)
    for account, amount_pusd in zip(accounts, amounts_pusd, strict=False):
        Posting.objects.create(journal=journal, account=account, amount_pusd=amount_pusd)
    return journal


@pytest.mark.django_db
@pytest.mark.parametrize("table", TABLES)
def test_it_refuses_to_delete_through_raw_sql(table: str, organization: Organization) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        execute(f"DELETE FROM {table}")  # noqa: S608


@pytest.mark.django_db
@pytest.mark.parametrize(
    "assignment",
    [
        "billing_posting SET amount_pusd = amount_pusd + 1",
        "billing_posting SET account = 'cash'",
        "billing_journal SET reference = 'other'",
        "billing_journal SET organization_id = organization_id",
        "billing_price SET input_pusd = 1",
    ],
)
def test_it_refuses_to_update_through_raw_sql(assignment: str, organization: Organization) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        execute(f"UPDATE {assignment}")


@pytest.mark.django_db
def test_it_refuses_to_change_through_the_orm(organization: Organization) -> None:
    posting = Posting.objects.first()
    assert posting is not None
    posting.amount_pusd += 1
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        posting.save()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        posting.delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", TABLES)
def test_it_refuses_to_replace_or_truncate(table: str, organization: Organization) -> None:
    statement = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"  # noqa: S608
    if connection.vendor == "postgresql":
        statement = f"TRUNCATE {table} CASCADE"
    with pytest.raises(IntegrityError, match="append-only"):
        execute(statement)


@pytest.mark.django_db
def test_a_new_price_is_a_new_version() -> None:
    Price.objects.create(model="lpu-demo", input_pusd=1, output_pusd=2)
    assert get_price("lpu-demo").input_pusd == 1
    assert Price.objects.filter(model="lpu-demo").count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("amounts_pusd", [(), (5,), (5, -4), (5, 5), (7, -4, -2)])
def test_a_journal_that_does_not_balance_cannot_commit(
    amounts_pusd: tuple[int, ...], organization: Organization
) -> None:
    with pytest.raises(IntegrityError):
        add_journal(organization, *amounts_pusd)
    assert not Journal.objects.filter(reference="by hand").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("amounts_pusd", [(5, -5), (7, -4, -3)])
def test_a_journal_that_balances_commits(amounts_pusd: tuple[int, ...], organization: Organization) -> None:
    journal = add_journal(organization, *amounts_pusd)
    assert journal.postings.count() == len(amounts_pusd)


@pytest.mark.django_db(transaction=True)
def test_a_posting_cannot_be_added_to_a_journal_that_balanced(organization: Organization) -> None:
    journal = Journal.objects.get(organization=organization)
    with pytest.raises(IntegrityError), transaction.atomic():
        Posting.objects.create(journal=journal, account=Posting.Account.CASH, amount_pusd=5)
    assert journal.postings.count() == 2
