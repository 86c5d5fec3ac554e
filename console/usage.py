"""Usage as the console's pages add it up."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.utils import timezone

from inference.selectors import list_usage
from inference.types import UsageBucket, UsageRow


@dataclass(frozen=True, slots=True)
class UsageTotal:
    label: str
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_pusd: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """The usage of some whole UTC days, the last of them today."""

    total: UsageTotal
    by_day: list[UsageTotal]
    by_model: list[UsageTotal]


def get_usage_period(*, organization_id: str, days: int) -> UsagePeriod:
    today = timezone.now().astimezone(UTC).date()
    start_at = datetime.combine(today - timedelta(days=days - 1), time.min, UTC)
    buckets = list_usage(
        organization_id=organization_id,
        start_at=start_at,
        end_at=start_at + timedelta(days=days),
        bucket_width="1d",
        group_by=("model",),
    )
    rows = [row for bucket in buckets for row in bucket.rows]
    return UsagePeriod(
        total=_add_up("Total", rows),
        by_day=[_add_up(f"{bucket.start_at:%Y-%m-%d}", bucket.rows) for bucket in buckets],
        by_model=_list_by_model(buckets),
    )


def _list_by_model(buckets: Iterable[UsageBucket]) -> list[UsageTotal]:
    rows: defaultdict[str, list[UsageRow]] = defaultdict(list)
    for bucket in buckets:
        for row in bucket.rows:
            rows[row.model or ""].append(row)
    return [_add_up(model, rows[model]) for model in sorted(rows)]


def _add_up(label: str, rows: Iterable[UsageRow]) -> UsageTotal:
    rows = list(rows)
    return UsageTotal(
        label=label,
        requests=sum(row.requests for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        cost_pusd=sum(row.cost_pusd for row in rows),
    )
