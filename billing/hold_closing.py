"""The one statement that closes holds: who finds them open is the one who may charge them.

RETURNING needs SQLite 3.35 (2021). PostgreSQL locks the rows in the order of their ids, so that two batches that share
jobs wait for each other instead of for ever.
"""

from collections.abc import Mapping
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from billing.types import UsedTokens

# What varies in the text is vendor's syntax and placeholders; values are parameters.
CLOSE = """
UPDATE billing_hold
SET state = CASE WHEN request_id IN ({released}) THEN 'released' ELSE 'settled' END, closed_at = %s
WHERE request_id IN (
    SELECT request_id FROM billing_hold WHERE request_id IN ({asked}) AND state = 'open' ORDER BY request_id {lock}
)
RETURNING request_id, organization_id, amount_pusd,
    (SELECT input_pusd FROM billing_price WHERE id = price_id),
    (SELECT cached_input_pusd FROM billing_price WHERE id = price_id),
    (SELECT output_pusd FROM billing_price WHERE id = price_id)
"""


class ClosedHold(NamedTuple):
    """With the price of its moment, in picodollars per token."""

    request_id: str
    organization_id: str
    amount_pusd: int
    input_pusd: int
    cached_input_pusd: int
    output_pusd: int


def close_open_holds(used: Mapping[str, UsedTokens | None]) -> list[ClosedHold]:
    """Closes those of the holds that are open and returns them: released where nothing was used, else settled."""
    if not used:
        return []
    released = [request_id for request_id, tokens in used.items() if tokens is None]
    lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
    query = CLOSE.format(released=_placeholders(released), asked=_placeholders(used), lock=lock)
    closed_at = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(query, [*released, closed_at, *used])
        return [ClosedHold(*row) for row in cursor.fetchall()]


def _placeholders(values: list[str] | Mapping[str, object]) -> str:
    return ", ".join(["%s"] * len(values)) or "NULL"
