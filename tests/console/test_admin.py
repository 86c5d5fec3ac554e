from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, AuditEvent, Membership, Organization, Plan, Project, User
from accounts.services import create_api_key, record_event
from accounts.types import IssuedKey
from console.models import WeeklyReport
from console.sign_up import set_up_organization
from console.weekly_report import get_last_week, store_weekly_report
from inference.dispatch import enqueue_job, ticket_of
from inference.models import Check, ClusterChip, Deployment, Job, LanguageModel, RateLimit
from inference.redis_clients import get_redis
from tests.inference.test_usage import add_job

PASSWORD = "correct horse battery staple"
OURS = (
    User,
    Group,
    EmailAddress,
    Organization,
    Membership,
    Project,
    ApiKey,
    AuditEvent,
    LanguageModel,
    Deployment,
    ClusterChip,
    RateLimit,
    Job,
    Check,
    WeeklyReport,
)
READ_ONLY = (ApiKey, AuditEvent, Check, ClusterChip, Job, WeeklyReport)
NOT_ADDED = (*READ_ONLY, Organization)


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser("staff@example.com", PASSWORD)


@pytest.fixture
def admin_pages(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def address(model: type[Model], page: str, *keys: object) -> str:
    arguments = [quote(key) for key in keys]
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def populate(number: int) -> None:
    """One row of every model, all of them belonging together."""
    user = User.objects.create_user(f"user{number}@example.com", PASSWORD)
    organization = set_up_organization(owner=user)
    EmailAddress.objects.create(user=user, email=user.email, primary=True)
    Group.objects.create(name=f"Group {number}")
    project = Project.objects.create(organization=organization, name="Another")
    key = create_api_key(project=project, name="Key", created_by=user).api_key
    model = LanguageModel.objects.create(id=f"model-{number}", display_name="Model", context_window=1)
    add_deployment(model, chip=number)
    job = add_job(project, api_key=key, model=model, first_token_at=timezone.now(), finished_at=timezone.now())
    Check.objects.create(job=job, kind=Check.Kind.LIVE, verdict=Check.Verdict.SAME)
    RateLimit.objects.create(organization=organization, rpm=1, rpd=1, tpm=1, tpd=1)
    figures = store_weekly_report(week=get_last_week()).figures
    WeeklyReport.objects.create(week=f"2020-W{number:02}", figures=figures)


def add_deployment(model: LanguageModel, *, chip: int) -> Deployment:
    figures = {"chips": 1, "minimum_chips": 1, "bytes_per_chip": 1, "max_batch": 1, "context_window": 1}
    deployment = Deployment.objects.create(model=model, path="/models/one", state=Deployment.State.SERVING, **figures)
    ClusterChip.objects.create(number=chip, deployment=deployment, position=0)
    return deployment


def test_every_model_of_these_apps_has_a_page() -> None:
    apps = {"accounts", "inference", "console"}
    registered = {model for model in admin.site._registry if model._meta.app_label in apps}
    assert registered == {model for model in OURS if model._meta.app_label in apps}


@pytest.mark.parametrize("model", OURS)
def test_staff_see_list_and_rows_of_every_model(admin_pages: Client, model: Any) -> None:
    populate(1)
    assert admin_pages.get(address(model, "changelist")).status_code == 200
    row = model.objects.order_by("pk").last()
    assert admin_pages.get(address(model, "change", row.pk)).status_code == 200
    assert admin_pages.get(address(model, "add")).status_code == (403 if model in NOT_ADDED else 200)


@pytest.mark.parametrize("model", OURS)
def test_others_are_sent_to_sign_in(client: Client, user: User, model: Any) -> None:
    client.force_login(user)
    answer = client.get(address(model, "changelist"))
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize("model", READ_ONLY)
def test_what_the_product_writes_cannot_be_written_by_staff(admin_pages: Client, model: Any) -> None:
    populate(1)
    row = model.objects.order_by("pk").last()
    before = model.objects.values().get(pk=row.pk)
    for page in ("change", "delete"):
        answer = admin_pages.post(address(model, page, row.pk), {"name": "Changed", "post": "yes"})
        assert answer.status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin_pages.post(address(model, "changelist"), selected)
    assert model.objects.values().get(pk=row.pk) == before


@pytest.mark.parametrize("model", [user_model for user_model in OURS if user_model is not LanguageModel])
def test_a_list_takes_as_many_queries_for_ten_rows_as_for_one(admin_pages: Client, model: Any) -> None:
    def count_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert admin_pages.get(address(model, "changelist")).status_code == 200
        return len(queries)

    populate(1)
    count_queries()
    with_one = count_queries()
    for number in range(2, 11):
        populate(number)
    assert count_queries() == with_one


def test_the_list_of_jobs_never_counts_the_table(admin_pages: Client) -> None:
    populate(1)
    with CaptureQueriesContext(connection) as queries:
        admin_pages.get(address(Job, "changelist"))
    assert not [query["sql"] for query in queries if "COUNT(" in query["sql"] and "inference_job" in query["sql"]]


SEARCHES: dict[str, Callable[[Job], str]] = {
    "id": lambda job: job.pk,
    "organization": lambda job: job.organization_id,
    "key": lambda job: job.api_key.label if job.api_key else "",
}


@pytest.mark.parametrize("what", SEARCHES)
def test_a_job_is_found_by_id_organization_and_key(admin_pages: Client, what: str) -> None:
    populate(1)
    populate(2)
    wanted, other = Job.objects.order_by("pk")
    page = admin_pages.get(address(Job, "changelist"), {"q": SEARCHES[what](wanted)}).content.decode()
    assert wanted.pk in page
    assert other.pk not in page


def test_a_job_shows_its_exact_cost_and_times(admin_pages: Client, project: Project) -> None:
    created_at = timezone.now()
    job = add_job(
        project,
        created_at=created_at,
        first_token_at=created_at + timedelta(milliseconds=12),
        finished_at=created_at + timedelta(milliseconds=3456),
        payload_key=b"0123456789abcdef",
    )
    page = admin_pages.get(address(Job, "change", job.pk)).content.decode()
    for text in ("0.0000009", "900000", ">12<", ">3456<"):
        assert text in page.replace("\n", "").replace(" ", "")
    assert "0123456789abcdef" not in page


def test_a_waiting_job_shows_its_position_and_its_model_how_many_wait(admin_pages: Client, project: Project) -> None:
    get_redis().flushdb()
    jobs = [add_job(project, state=Job.State.QUEUED) for _ in range(2)]
    for job in jobs:
        enqueue_job(ticket_of(job))
    assert "1 before it" in admin_pages.get(address(Job, "change", jobs[1].pk)).content.decode()
    assert "2 on_demand" in admin_pages.get(address(LanguageModel, "changelist")).content.decode()
    assert "it does not wait" in admin_pages.get(address(Job, "change", add_job(project).pk)).content.decode()


@pytest.mark.parametrize("by", ["name", "label", "pk"])
def test_a_key_is_found_by_name_label_and_id(admin_pages: Client, issued_key: IssuedKey, by: str) -> None:
    populate(1)
    page = admin_pages.get(address(ApiKey, "changelist"), {"q": getattr(issued_key.api_key, by)}).content.decode()
    assert issued_key.api_key.label in page
    assert ApiKey.objects.exclude(pk=issued_key.api_key.pk).get().label not in page


def test_a_key_is_revoked_and_the_trail_names_who_did_it(
    admin_pages: Client, staff: User, issued_key: IssuedKey
) -> None:
    selected = {"action": "revoke_keys", "_selected_action": [issued_key.api_key.pk]}
    admin_pages.post(address(ApiKey, "changelist"), selected)
    issued_key.api_key.refresh_from_db()
    assert issued_key.api_key.revoked_at is not None
    assert AuditEvent.objects.get(action="api_key.revoked").actor == staff


def test_staff_who_may_only_look_cannot_revoke(client: Client, issued_key: IssuedKey) -> None:
    viewer = User.objects.create_user("viewer@example.com", PASSWORD, is_staff=True)
    viewer.user_permissions.add(*_permissions("view_apikey"))
    client.force_login(viewer)
    assert client.get(address(ApiKey, "changelist")).status_code == 200
    client.post(address(ApiKey, "changelist"), {"action": "revoke_keys", "_selected_action": [issued_key.api_key.pk]})
    issued_key.api_key.refresh_from_db()
    assert issued_key.api_key.revoked_at is None


def _permissions(codename: str) -> Any:
    return Permission.objects.filter(codename=codename)


def test_no_page_shows_a_digest(admin_pages: Client, issued_key: IssuedKey) -> None:
    for page in (address(ApiKey, "changelist"), address(ApiKey, "change", issued_key.api_key.pk)):
        text = admin_pages.get(page).content.decode()
        assert issued_key.api_key.label in text
        assert issued_key.api_key.digest not in text
        assert issued_key.secret not in text


def test_a_changed_plan_is_recorded(admin_pages: Client, staff: User, organization: Organization) -> None:
    form = {"name": organization.name, "plan": "enterprise"}
    for prefix in ("memberships", "projects"):
        form |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    assert admin_pages.post(address(Organization, "change", organization.pk), form).status_code == 302
    organization.refresh_from_db()
    assert organization.plan == Plan.ENTERPRISE
    event = AuditEvent.objects.get(action="organization.plan_changed")
    assert (event.actor, event.target) == (staff, "enterprise")


def test_staff_add_a_user_with_a_password(admin_pages: Client) -> None:
    form = {"email": "new@example.com", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin_pages.post(address(User, "add"), form).status_code == 302
    assert User.objects.get(email="new@example.com").check_password(PASSWORD)


def test_an_address_is_taken_whatever_its_case(admin_pages: Client, user: User) -> None:
    form = {"email": "ADA@example.com", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin_pages.post(address(User, "add"), form).status_code == 200
    assert not User.objects.filter(email="ADA@example.com").exists()


@pytest.mark.django_db
def test_createsuperuser_makes_a_user_who_can_sign_in(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", email="root@example.com", interactive=False, verbosity=0)
    form = {"username": "root@example.com", "password": PASSWORD, "next": "/admin/"}
    assert client.post(reverse("admin:login"), form).headers["location"] == "/admin/"
    page = client.get("/admin/").content.decode()
    for title in ("People", "Inference", "Money", "Reports", "API keys", "Weekly reports"):
        assert title in page


@pytest.mark.django_db
def test_the_sidebar_offers_only_what_a_user_may_see(client: Client) -> None:
    viewer = User.objects.create_user("viewer@example.com", PASSWORD, is_staff=True)
    viewer.user_permissions.add(*_permissions("view_job"))
    client.force_login(viewer)
    page = client.get("/admin/").content.decode()
    assert address(Job, "changelist") in page
    assert address(ApiKey, "changelist") not in page


def test_pages_load_nothing_from_elsewhere(admin_pages: Client) -> None:
    page = admin_pages.get("/admin/").content.decode()
    for attribute in ('src="http', 'href="http', 'src="//', 'href="//'):
        assert attribute not in page


def test_the_trail_is_searched_by_action_and_actor(admin_pages: Client, organization: Organization, user: User) -> None:
    record_event(organization=organization, actor=None, action="other.event", target="elsewhere")
    for query in ("organization.created", "ada@example.com"):
        page = admin_pages.get(address(AuditEvent, "changelist"), {"q": query}).content.decode()
        assert "organization.created" in page
        assert "elsewhere" not in page
