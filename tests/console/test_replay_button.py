"""A replay that staff ask for on a job's page, and the switch by which a developer keeps content."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import AuditEvent, Project, User
from accounts.services import set_content_keeping
from inference import check_admin
from inference.check_tasks import replay_kept_job
from inference.models import Check, Job
from tests.console.test_admin import PASSWORD, address, admin_pages, staff
from tests.inference.test_replay import _forget_projects, add_kept_job
from tests.inference.test_usage import add_job

__all__ = ["_forget_projects", "admin_pages", "staff"]

pytestmark = pytest.mark.django_db

BUTTON = "Replay and compare"


@pytest.fixture
def kept_job(project: Project) -> Job:
    set_content_keeping(project=project, keeps_content=True, changed_by=None)
    return add_kept_job(project)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does at once what it is sent."""
    monkeypatch.setattr(check_admin, "choose_worker", lambda model: "worker-1@lpu")
    monkeypatch.setattr(check_admin, "send_replay", lambda *, check, name: replay_kept_job(check.pk))


def replay(pages: Client, job: Job) -> Any:
    return pages.post(f"/admin/inference/job/{job.pk}/replay/", follow=True).content.decode()


def test_the_button_starts_a_replay_and_the_page_shows_its_verdict(
    admin_pages: Client, kept_job: Job, alive: None
) -> None:
    assert BUTTON in admin_pages.get(address(Job, "change", kept_job.pk)).content.decode()
    page = replay(admin_pages, kept_job)
    assert Check.objects.get().verdict == Check.Verdict.SAME
    assert "16 tokens" in page


def test_without_a_worker_nothing_is_replayed(
    admin_pages: Client, kept_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_admin, "choose_worker", lambda model: "")
    assert "No worker that serves null-16 is alive" in replay(admin_pages, kept_job)
    assert not Check.objects.exists()


def test_a_job_that_is_not_kept_has_no_button(admin_pages: Client, project: Project, alive: None) -> None:
    job = add_job(project)
    assert BUTTON not in admin_pages.get(address(Job, "change", job.pk)).content.decode()
    assert "there is nothing to replay" in replay(admin_pages, job)


def test_staff_who_may_only_look_cannot_replay(client: Client, kept_job: Job, alive: None) -> None:
    viewer = User.objects.create_user("viewer@example.com", PASSWORD, is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(codename="view_job"))
    client.force_login(viewer)
    assert BUTTON not in client.get(address(Job, "change", kept_job.pk)).content.decode()
    assert client.post(f"/admin/inference/job/{kept_job.pk}/replay/").status_code == 403
    assert not Check.objects.exists()


def test_a_replay_is_not_started_by_a_link(admin_pages: Client, kept_job: Job, alive: None) -> None:
    assert admin_pages.get(f"/admin/inference/job/{kept_job.pk}/replay/").status_code == 405


def test_no_page_shows_kept_content(admin_pages: Client, kept_job: Job) -> None:
    for page in (address(Job, "change", kept_job.pk), address(Job, "changelist"), address(Check, "changelist")):
        assert "tok00" not in admin_pages.get(page).content.decode()


def test_every_page_of_admin_counts_the_checks_that_differ(admin_pages: Client, project: Project) -> None:
    def shown() -> bool:
        page = admin_pages.get("/admin/").content.decode()
        return re.search(r"<span>Checks</span>\s*<span[^>]*>\s*1\s*</span>", page) is not None

    assert not shown()
    Check.objects.create(job=add_job(project), kind=Check.Kind.LIVE, verdict=Check.Verdict.DIFFERS)
    assert shown()


def test_staff_s_change_of_a_project_is_written_down(admin_pages: Client, staff: User, project: Project) -> None:
    form = {"name": project.name, "keeps_content": "on"}
    assert admin_pages.post(address(Project, "change", project.pk), form).status_code == 302
    project.refresh_from_db()
    assert project.keeps_content
    assert AuditEvent.objects.get(action="project.keeps_content").actor == staff


def test_a_developer_switches_keeping_on_and_off(browser: Client, user: User, project: Project) -> None:
    for value, text in (("1", "are kept from now on"), ("0", "no longer kept")):
        page = browser.post("/kept-content", {"keeps_content": value}, follow=True).content.decode()
        assert text in page
        project.refresh_from_db()
        assert project.keeps_content == (value == "1")
    actions = AuditEvent.objects.filter(target=project.pk).order_by("pk").values_list("action", "actor")
    assert list(actions) == [("project.keeps_content", user.pk), ("project.keeps_no_content", user.pk)]
