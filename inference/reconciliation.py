"""Do jobs, holds, balances and the ledger tell the same story, to the picodollar?

Plain SQL over whole tables, the same on SQLite and PostgreSQL, so that a million jobs take seconds. Sums are taken of
billions and remainders apart and put together in Python: a total may pass the 64 bits that one balance may not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from django.db import connection

BILLION = 10**9

# One snapshot, so that running traffic shows no false differences. On SQLite a DEFERRED transaction reads beside
# writers, which Django's own IMMEDIATE one would stop; on PostgreSQL, READ COMMITTED would see each query's own moment.
BEGIN = {"sqlite": "BEGIN DEFERRED", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}

TOTAL_OF_JOBS = "SELECT SUM(cost_pusd / 1000000000), SUM(cost_pusd % 1000000000) FROM inference_job"

TOTAL_OF_JOURNALS = """
SELECT SUM(p.amount_pusd / 1000000000), SUM(p.amount_pusd % 1000000000)
FROM billing_posting p JOIN billing_journal j ON j.id = p.journal_id
WHERE j.kind = 'usage' AND p.account = 'revenue'
"""

# Each answers (id, expected, found) as (id, billions, remainder, billions, remainder).
DIFFERENCES = {
    # What a job says that it cost, against what its own organization was charged for it.
    "job_cost": """
        SELECT job.id, job.cost_pusd / 1000000000, job.cost_pusd % 1000000000,
               COALESCE(p.amount_pusd, 0) / 1000000000, COALESCE(p.amount_pusd, 0) % 1000000000
        FROM inference_job job
        LEFT JOIN billing_journal j
            ON j.kind = 'usage' AND j.reference = job.id AND j.organization_id = job.organization_id
        LEFT JOIN billing_posting p ON p.journal_id = j.id AND p.account = 'revenue'
        WHERE job.cost_pusd <> COALESCE(p.amount_pusd, 0)
        ORDER BY job.id
    """,
    # What the tokens of a settled job cost at the price of its hold, against what was charged: billing/pricing.py.
    "charge": """
        SELECT id, expected / 1000000000, expected % 1000000000, charged / 1000000000, charged % 1000000000
        FROM (
            SELECT job.id, COALESCE(p.amount_pusd, 0) AS charged, CASE WHEN job.service_tier = 'batch'
                THEN (job.prompt_tokens * price.input_pusd + job.completion_tokens * price.output_pusd) / 2
                ELSE (job.prompt_tokens - job.cached_tokens) * price.input_pusd
                    + job.cached_tokens * price.cached_input_pusd + job.completion_tokens * price.output_pusd
                END AS expected
            FROM inference_job job
            JOIN billing_hold h ON h.request_id = job.id AND h.state = 'settled'
            JOIN billing_price price ON price.id = h.price_id
            LEFT JOIN billing_journal j ON j.kind = 'usage' AND j.reference = job.id
            LEFT JOIN billing_posting p ON p.journal_id = j.id AND p.account = 'revenue'
        ) priced
        WHERE expected <> charged
        ORDER BY id
    """,
    "usage_without_job": """
        SELECT j.reference, 0, 0, p.amount_pusd / 1000000000, p.amount_pusd % 1000000000
        FROM billing_journal j
        JOIN billing_posting p ON p.journal_id = j.id AND p.account = 'revenue'
        LEFT JOIN inference_job job ON job.id = j.reference AND job.organization_id = j.organization_id
        WHERE j.kind = 'usage' AND job.id IS NULL
        ORDER BY j.reference
    """,
    "balance": """
        SELECT o.id, COALESCE(replay.billions, 0), COALESCE(replay.remainder, 0),
               COALESCE(b.balance_pusd, 0) / 1000000000, COALESCE(b.balance_pusd, 0) % 1000000000
        FROM accounts_organization o
        LEFT JOIN billing_balance b ON b.organization_id = o.id
        LEFT JOIN (
            SELECT j.organization_id, SUM(p.amount_pusd / 1000000000) AS billions,
                   SUM(p.amount_pusd % 1000000000) AS remainder
            FROM billing_posting p JOIN billing_journal j ON j.id = p.journal_id
            WHERE p.account = 'customer' GROUP BY j.organization_id
        ) replay ON replay.organization_id = o.id
        WHERE COALESCE(b.balance_pusd, 0)
              <> COALESCE(replay.billions, 0) * 1000000000 + COALESCE(replay.remainder, 0)
        ORDER BY o.id
    """,
    "held": """
        SELECT o.id, COALESCE(holds.billions, 0), COALESCE(holds.remainder, 0),
               COALESCE(b.held_pusd, 0) / 1000000000, COALESCE(b.held_pusd, 0) % 1000000000
        FROM accounts_organization o
        LEFT JOIN billing_balance b ON b.organization_id = o.id
        LEFT JOIN (
            SELECT organization_id, SUM(amount_pusd / 1000000000) AS billions,
                   SUM(amount_pusd % 1000000000) AS remainder
            FROM billing_hold WHERE state = 'open' GROUP BY organization_id
        ) holds ON holds.organization_id = o.id
        WHERE COALESCE(b.held_pusd, 0) <> COALESCE(holds.billions, 0) * 1000000000 + COALESCE(holds.remainder, 0)
        ORDER BY o.id
    """,
    # A hold and its job are written together, so a hold without one is as lost as one whose job has ended.
    "hold_left_open": """
        SELECT h.request_id, 0, 0, h.amount_pusd / 1000000000, h.amount_pusd % 1000000000
        FROM billing_hold h LEFT JOIN inference_job job ON job.id = h.request_id
        WHERE h.state = 'open' AND (job.id IS NULL OR job.state NOT IN ('queued', 'running'))
        ORDER BY h.request_id
    """,
    "journal_sum": """
        SELECT j.id, 0, 0, COALESCE(SUM(p.amount_pusd / 1000000000), 0), COALESCE(SUM(p.amount_pusd % 1000000000), 0)
        FROM billing_journal j LEFT JOIN billing_posting p ON p.journal_id = j.id
        GROUP BY j.id
        HAVING COUNT(p.id) < 2 OR SUM(p.amount_pusd / 1000000000) * 1000000000 + SUM(p.amount_pusd % 1000000000) <> 0
        ORDER BY j.id
    """,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Two records of one fact that disagree. `id` names a request, an organization or, in `journal_sum`, a journal."""

    kind: str
    id: str
    expected_pusd: int
    found_pusd: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    usage_pusd: int
    journal_pusd: int
    differences: list[Difference]

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def reconcile_billing() -> Reconciliation:
    """Compares all records of money as they stood at one moment; inside a transaction, as that one sees them."""
    with _snapshot():
        return Reconciliation(
            usage_pusd=_total(TOTAL_OF_JOBS),
            journal_pusd=_total(TOTAL_OF_JOURNALS),
            differences=[difference for kind, query in DIFFERENCES.items() for difference in _list(kind, query)],
        )


@contextmanager
def _snapshot() -> Iterator[None]:
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(BEGIN[connection.vendor])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _total(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        billions, remainder = cursor.fetchone()
    return _whole(billions, remainder)


def _list(kind: str, query: str) -> list[Difference]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [
            Difference(kind=kind, id=str(row[0]), expected_pusd=_whole(*row[1:3]), found_pusd=_whole(*row[3:5]))
            for row in cursor
        ]


def _whole(billions: object, remainder: object) -> int:
    """Drivers answer int or Decimal, and None for the sum of nothing."""
    return int(str(billions or 0)) * BILLION + int(str(remainder or 0))
