"""Developer metrics of one ISO week, in UTC: what staff read on Mondays."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.mail import send_mail
from django.db.models import Min, QuerySet
from django.utils import timezone

from accounts.models import User
from billing.money import to_usd
from billing.selectors import get_revenue_pusd
from console.models import WeeklyReport
from inference.selectors import get_total_usage, list_active_organization_ids, list_first_call_organization_ids

WEEK = timedelta(weeks=1)
WEEK_TEXT = re.compile(r"([0-9]{4})-W([0-9]{2})", re.ASCII)
DEFINITIONS = """\
A developer is a user who belongs to an organization, from the day of the first membership on; staff without one do not
count. Growth compares the developers at the end of this week with those at its beginning. A first call is the first
billed request of an organization, and a developer is active when their organization made a billed request: both count
all developers of that organization. Requests and tokens are those of billed requests that began in the week, revenue is
what the ledger charged for usage in the week, also where promotional credit paid for it. Weeks are ISO weeks in UTC."""


class WeekError(ValueError):
    """A week that is not written as ISO weeks are, does not exist, or has not begun."""


@dataclass(frozen=True, slots=True)
class Week:
    """An ISO week, from Monday 00:00 UTC (inclusive) to the next (exclusive)."""

    name: str
    start_at: datetime

    @property
    def end_at(self) -> datetime:
        return self.start_at + WEEK

    @property
    def is_over(self) -> bool:
        return self.end_at <= timezone.now()


@dataclass(frozen=True, slots=True)
class Figures:
    """The report as it is stored. `growth_percent` is None where there was no developer at the week's beginning."""

    week: str
    start_at: str
    end_at: str
    is_complete: bool
    developers: int
    new_developers: int
    growth_percent: float | None
    first_call_developers: int
    active_developers: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    revenue_pusd: int
    revenue_usd: str


def parse_week(text: str) -> Week:
    """The week that `2026-W05` names; WeekError if there is none such yet."""
    match = WEEK_TEXT.fullmatch(text)
    if match is None:
        raise WeekError(f"The week is {text!r}; write it as 2026-W05.")
    try:
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError:
        raise WeekError(f"There is no week {text}.") from None
    week = _week_of(monday)
    if week.start_at > timezone.now():
        raise WeekError(f"Week {text} has not begun.")
    return week


def get_last_week() -> Week:
    """The last week that is over."""
    return _week_of((timezone.now().astimezone(UTC) - WEEK).date())


def _week_of(day: date) -> Week:
    year, number, weekday = day.isocalendar()
    monday = day - timedelta(days=weekday - 1)
    return Week(name=f"{year:04}-W{number:02}", start_at=datetime.combine(monday, time.min, UTC))


def get_figures(week: Week) -> Figures:
    developers = _developers_before(week.end_at)
    before = _developers_before(week.start_at).count()
    total = developers.count()
    span = {"start_at": week.start_at, "end_at": week.end_at}
    usage = get_total_usage(**span)
    revenue_pusd = get_revenue_pusd(**span)
    return Figures(
        week=week.name,
        start_at=week.start_at.isoformat(),
        end_at=week.end_at.isoformat(),
        is_complete=week.is_over,
        developers=total,
        new_developers=total - before,
        growth_percent=round(100 * (total - before) / before, 2) if before else None,
        first_call_developers=_count_members(developers, list_first_call_organization_ids(**span)),
        active_developers=_count_members(developers, list_active_organization_ids(**span)),
        requests=usage.requests,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        revenue_pusd=revenue_pusd,
        revenue_usd=f"{to_usd(revenue_pusd):f}",
    )


def _developers_before(at: datetime) -> QuerySet[User]:
    return User.objects.annotate(developer_since=Min("memberships__created_at")).filter(developer_since__lt=at)


def _count_members(developers: QuerySet[User], organization_ids: QuerySet[Any, str]) -> int:
    members = User.objects.filter(memberships__organization_id__in=organization_ids)
    return members.filter(pk__in=developers.values("pk")).distinct().count()


def store_weekly_report(*, week: Week) -> WeeklyReport:
    """Computes a week's figures and keeps them in place of those of an earlier run."""
    defaults = {"figures": asdict(get_figures(week)), "stored_at": timezone.now()}
    report, _ = WeeklyReport.objects.update_or_create(week=week.name, defaults=defaults)
    return report


def send_weekly_report(*, report: WeeklyReport) -> int:
    """Mails a report to all active staff, each on their own; returns how many."""
    staff = User.objects.filter(is_staff=True, is_active=True).values_list("email", flat=True)
    text = format_report(report.figures)
    return sum(send_mail(f"Weekly report {report.week}", text, None, [address]) for address in staff)


def format_report(figures: dict[str, Any]) -> str:
    """The report for people, with the definitions that its figures rest on."""
    growth = figures["growth_percent"]
    rows = (
        ("Developers in all", f"{figures['developers']:,}"),
        ("New developers", f"{figures['new_developers']:,}"),
        ("Growth over the week before", "none to compare with" if growth is None else f"{growth:+.2f} %"),
        ("Developers with a first call", f"{figures['first_call_developers']:,}"),
        ("Active developers", f"{figures['active_developers']:,}"),
        ("Requests", f"{figures['requests']:,}"),
        ("Prompt tokens", f"{figures['prompt_tokens']:,}"),
        ("Completion tokens", f"{figures['completion_tokens']:,}"),
        ("Revenue", f"{figures['revenue_usd']} USD ({figures['revenue_pusd']:,} pUSD)"),
    )
    span = f"{figures['start_at'][:10]} to {figures['end_at'][:10]}, the latter excluded"
    title = f"Week {figures['week']} ({span}){'' if figures['is_complete'] else ', not over yet'}"
    return "\n".join([title, "", *(f"{name:<30}{value}" for name, value in rows), "", DEFINITIONS])
