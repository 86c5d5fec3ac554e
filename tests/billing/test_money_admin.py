"""Staff look at money and change none of it; prices gain versions."""

import pytest
from django.test import Client

from accounts.models import Organization, User
from billing.models import Balance, Hold, Journal, Price, StripeEvent, TopUp
from billing.services import place_hold

pytestmark = pytest.mark.django_db

PAGES = ("price", "balance", "hold", "journal", "topup", "stripeevent")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff@example.com", "long enough secret"))
    return client


@pytest.fixture
def rows(organization: Organization, user: User) -> dict[str, object]:
    """The key of one row of each page."""
    hold = place_hold(
        request_id="req_seen", organization_id=organization.pk, model="lpu-demo", prompt_tokens=1,
        max_completion_tokens=1,
    )  # fmt: skip
    top_up = TopUp.objects.create(organization=organization, created_by=user, amount_cents=123_456)
    event = StripeEvent.objects.create(event_id="evt_seen", event_type="checkout.session.completed", body="{}")
    journal = Journal.objects.get(organization=organization)
    return dict(zip(PAGES, (hold.price_id, organization.pk, hold.pk, journal.pk, top_up.pk, event.pk), strict=True))


@pytest.mark.parametrize("page", PAGES)
def test_staff_read_every_list_and_every_row(page: str, staff: Client, rows: dict[str, object]) -> None:
    assert staff.get(f"/admin/billing/{page}/").status_code == 200
    assert staff.get(f"/admin/billing/{page}/", {"q": "seen"}).status_code == 200
    assert staff.get(f"/admin/billing/{page}/{rows[page]}/change/").status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_staff_change_and_delete_nothing(page: str, staff: Client, rows: dict[str, object]) -> None:
    assert staff.post(f"/admin/billing/{page}/{rows[page]}/change/", {}).status_code == 403
    assert staff.post(f"/admin/billing/{page}/{rows[page]}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("page", [page for page in PAGES if page != "price"])
def test_staff_add_nothing_but_prices(page: str, staff: Client) -> None:
    assert staff.get(f"/admin/billing/{page}/add/").status_code == 403


def test_staff_add_a_version_of_a_price(staff: Client) -> None:
    fields = {"model": "lpu-demo", "input_pusd": 1, "output_pusd": 2}
    moment = {"effective_at_0": "2026-02-01", "effective_at_1": "00:00:00"}
    assert staff.post("/admin/billing/price/add/", fields | moment).status_code == 302
    assert Price.objects.filter(model="lpu-demo").count() == 2


def test_amounts_are_readable_and_exact(staff: Client, rows: dict[str, object]) -> None:
    Balance.objects.update(held_pusd=50_000)
    page = staff.get("/admin/billing/balance/").content.decode()
    assert "$1.00 (1,000,000,000,000 pUSD)" in page
    assert "$0.00000005 (50,000 pUSD)" in page
    assert "$1,234.56" in staff.get("/admin/billing/topup/").content.decode()


def test_a_search_finds_by_organization_and_by_request(staff: Client, organization: Organization) -> None:
    place_hold(
        request_id="req_found", organization_id=organization.pk, model="lpu-demo", prompt_tokens=1,
        max_completion_tokens=1,
    )  # fmt: skip
    for sought, is_found in ((organization.pk, True), (organization.name, True), ("found", True), ("req_0", False)):
        page = staff.get("/admin/billing/hold/", {"q": sought}).content.decode()
        assert ("req_found" in page) is is_found
    assert Hold.objects.count() == 1
