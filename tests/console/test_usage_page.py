from datetime import timedelta

from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from accounts.selectors import get_default_project
from inference.models import Job
from tests.console.pages import text_in, text_of


def add_job(
    organization: Organization, *, days_ago: int = 0, model: str = "lpu-demo", cost_pusd: int = 1_830_000
) -> None:
    Job.objects.create(
        organization=organization,
        project=get_default_project(organization),
        model_id=model,
        temperature=1.0,
        top_p=1.0,
        seed=1,
        max_completion_tokens=16,
        prompt_tokens=1_011,
        completion_tokens=16,
        cost_pusd=cost_pusd,
        state=Job.State.COMPLETED,
        created_at=timezone.now() - timedelta(days=days_ago),
    )


def test_an_unused_account_is_led_on(browser: Client) -> None:
    text = text_of(browser.get("/usage"))
    assert "Nothing was used in this period. Make a first call" in text


def test_it_adds_up_requests_tokens_and_cost(browser: Client, organization: Organization) -> None:
    add_job(organization)
    add_job(organization, days_ago=1, model="null-16")
    response = browser.get("/usage")
    assert text_in(response, "total-requests") == "2"
    assert text_in(response, "total-cost") == "$0.00000366"
    assert "2,022" in text_of(response)
    assert "lpu-demo 1 1,011 16 $0.00000183 null-16 1 1,011 16 $0.00000183" in text_of(response)


def test_the_period_is_seven_days_or_thirty(browser: Client, organization: Organization) -> None:
    add_job(organization, days_ago=8)
    assert text_in(browser.get("/usage"), "total-requests") == "0"
    assert text_in(browser.get("/usage?days=30"), "total-requests") == "1"
    assert text_in(browser.get("/usage?days=100000000"), "total-requests") == "0"


def test_the_chart_has_a_bar_for_each_day(browser: Client, organization: Organization) -> None:
    add_job(organization)
    assert browser.get("/usage").content.decode().count("chart__bar") == 3 * 7
    assert browser.get("/usage?days=30").content.decode().count("chart__bar") == 3 * 30


def test_another_organizations_usage_is_not_shown(browser: Client, neighbour: Organization) -> None:
    add_job(neighbour)
    assert text_in(browser.get("/usage"), "total-requests") == "0"
