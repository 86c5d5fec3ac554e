import json
import logging
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from accounts.models import Membership, Organization, Project, User
from billing.models import Journal, Posting
from console.models import WeeklyReport
from console.tasks import store_weekly_report
from console.weekly_report import WeekError, get_figures, get_last_week, parse_week
from inference.models import Job
from tests.inference.test_usage import add_job

MONDAY = datetime(2026, 1, 26, tzinfo=UTC)
WEEK = timedelta(weeks=1)
MOMENT = timedelta(microseconds=1)


def join(name: str, at: datetime) -> Project:
    """A developer with an organization of their own since `at`."""
    user = User.objects.create_user(f"{name}@example.com", date_joined=at)
    organization = Organization.objects.create(name=name)
    Membership.objects.create(user=user, organization=organization, created_at=at)
    return Project.objects.create(organization=organization, name="Default project", is_default=True)


def run_report(*arguments: str) -> str:
    output = StringIO()
    call_command("weekly_report", "--week", "2026-W05", *arguments, stdout=output)
    return output.getvalue()


@pytest.mark.django_db
def test_developers_are_counted_at_the_end_of_the_week() -> None:
    for number, at in enumerate((MONDAY - MOMENT, MONDAY, MONDAY + WEEK - MOMENT, MONDAY + WEEK)):
        join(f"developer{number}", at)
    User.objects.create_superuser("staff@example.com", "correct horse battery staple", date_joined=MONDAY)
    figures = get_figures(parse_week("2026-W05"))
    assert (figures.developers, figures.new_developers, figures.growth_percent) == (3, 2, 200.0)


@pytest.mark.django_db
def test_there_is_no_growth_without_developers_before() -> None:
    join("first", MONDAY)
    assert get_figures(parse_week("2026-W05")).growth_percent is None


@pytest.mark.django_db
def test_a_first_call_is_the_first_billed_job_of_an_organization() -> None:
    veteran, newcomer, failing, silent = (join(name, MONDAY - WEEK) for name in ("old", "new", "failing", "silent"))
    add_job(veteran, created_at=MONDAY - MOMENT)
    add_job(veteran, created_at=MONDAY)
    # A failed job was not billed: it neither takes the first call away nor makes one.
    add_job(newcomer, created_at=MONDAY - MOMENT, state=Job.State.FAILED)
    add_job(newcomer, created_at=MONDAY)
    add_job(newcomer, created_at=MONDAY + WEEK - MOMENT)
    add_job(failing, created_at=MONDAY, state=Job.State.FAILED)
    add_job(silent, created_at=MONDAY + WEEK)
    figures = get_figures(parse_week("2026-W05"))
    assert (figures.first_call_developers, figures.active_developers) == (1, 2)
    assert (figures.requests, figures.prompt_tokens, figures.completion_tokens) == (3, 30, 15)


@pytest.mark.django_db
def test_revenue_is_what_usage_journals_of_the_week_charged() -> None:
    organization = join("payer", MONDAY - WEEK).organization
    entries = [
        (Journal.Kind.USAGE, Posting.Account.REVENUE, 900_000, MONDAY),
        (Journal.Kind.USAGE, Posting.Account.REVENUE, 1, MONDAY + WEEK - MOMENT),
        (Journal.Kind.USAGE, Posting.Account.REVENUE, 5, MONDAY - MOMENT),
        (Journal.Kind.USAGE, Posting.Account.REVENUE, 7, MONDAY + WEEK),
        (Journal.Kind.GRANT, Posting.Account.PROMOTIONS, -11, MONDAY),
    ]
    for number, (kind, account, amount_pusd, at) in enumerate(entries):
        journal = Journal.objects.create(organization=organization, kind=kind, reference=str(number), created_at=at)
        for leg, leg_pusd in ((account, amount_pusd), (Posting.Account.CUSTOMER, -amount_pusd)):
            Posting.objects.create(journal=journal, account=leg, amount_pusd=leg_pusd)
    figures = get_figures(parse_week("2026-W05"))
    assert (figures.revenue_pusd, figures.revenue_usd) == (900_001, "0.000000900001")


@pytest.mark.django_db
def test_the_command_stores_what_it_prints_once_per_week() -> None:
    join("first", MONDAY)
    printed = json.loads(run_report("--json"))
    assert (printed["week"], printed["developers"], printed["growth_percent"]) == ("2026-W05", 1, None)
    join("second", MONDAY)
    assert json.loads(run_report("--json"))["developers"] == 2
    assert WeeklyReport.objects.get().figures["developers"] == 2


@pytest.mark.django_db
def test_the_text_says_what_the_figures_mean() -> None:
    text = run_report()
    assert "Week 2026-W05 (2026-01-26 to 2026-02-02" in text
    assert "none to compare with" in text
    assert "A developer is a user who belongs to an organization" in text


@pytest.mark.parametrize(
    ("text", "start_at"),
    [
        ("2026-W05", MONDAY),
        ("2026-W01", datetime(2025, 12, 29, tzinfo=UTC)),
        ("2020-W53", datetime(2020, 12, 28, tzinfo=UTC)),
    ],
)
def test_weeks_are_iso_weeks(text: str, start_at: datetime) -> None:
    assert parse_week(text).start_at == start_at


@pytest.mark.parametrize(
    "text", ["2026-5", "2026W05", "2026-W00", "2025-W53", "2026-W05 ", "last", "", "9998-W01", "0000-W01"]
)
def test_it_refuses_what_is_no_week_yet(text: str) -> None:
    with pytest.raises(WeekError, match=r"[Ww]eek"):
        parse_week(text)
    with pytest.raises(CommandError, match=r"[Ww]eek"):
        call_command("weekly_report", "--week", text)


@pytest.mark.parametrize("now", [datetime(2026, 2, 2, tzinfo=UTC), datetime(2026, 2, 8, 23, 59, 59, tzinfo=UTC)])
def test_the_default_is_the_last_full_week(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)
    week = get_last_week()
    assert (week.name, week.is_over) == ("2026-W05", True)


def test_beat_stores_the_report_and_mails_staff_one_by_one(
    organization: Organization, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    for name in ("one", "two"):
        User.objects.create_superuser(f"{name}@example.com", "correct horse battery staple")
    with caplog.at_level(logging.INFO):
        store_weekly_report()
    week = WeeklyReport.objects.get().week
    assert sorted(message.to for message in mail.outbox) == [["one@example.com"], ["two@example.com"]]
    assert week in caplog.text
    assert "@" not in caplog.text
