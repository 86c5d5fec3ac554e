import re
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import Organization, User
from accounts.selectors import get_default_project, get_organization_of
from billing.selectors import get_funds
from tests.console.conftest import BACKEND, PASSWORD
from tests.console.pages import text_of

NEW = {"email": "new@example.com", "password1": PASSWORD}


@pytest.mark.django_db
def test_signing_up_makes_an_organization_a_project_and_the_first_credit(client: Client, mail_dir: Path) -> None:
    response = client.post("/signup", NEW)
    assert response["Location"] == "/home"
    organization = get_organization_of(User.objects.get(email="new@example.com"))
    assert organization is not None
    assert get_default_project(organization).name == "Default project"
    assert get_funds(organization.pk).available_pusd == 10**12


@pytest.mark.django_db
def test_the_confirmation_is_found_under_dev_mail_and_ends_the_banner(client: Client, mail_dir: Path) -> None:
    client.post("/signup", NEW)
    assert "Confirm your e-mail address" in text_of(client.get("/home"))
    page = client.get("/dev/mail").content.decode()
    links = re.findall(r'href="http://testserver(/account/confirm-email/[^"]+)"', page)
    assert len(links) == 1
    client.get(links[0])
    assert "Confirm your e-mail address" not in text_of(client.get("/home"))


@pytest.mark.django_db
def test_an_address_in_use_gets_no_second_account(client: Client, user: User, mail_dir: Path) -> None:
    client.post("/signup", {"email": user.email.upper(), "password1": PASSWORD})
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_a_weak_password_is_refused_in_place(client: Client, mail_dir: Path) -> None:
    response = client.post("/signup", NEW | {"password1": "12345678"})
    assert "This password is too common." in text_of(response)
    assert not User.objects.exists()


def test_logging_in_leads_to_the_console(client: Client, user: User, organization: Organization) -> None:
    response = client.post("/login", {"login": user.email, "password": PASSWORD})
    assert response["Location"] == "/home"


def test_a_wrong_password_is_refused_in_place(client: Client, user: User) -> None:
    response = client.post("/login", {"login": user.email, "password": "wrong"})
    assert "not correct" in text_of(response)


def test_signing_out_ends_the_session(browser: Client) -> None:
    assert browser.post("/logout")["Location"] == "/"
    assert browser.get("/home")["Location"] == "/login?next=/home"


def test_a_reset_link_changes_the_password(client: Client, user: User, mail_dir: Path) -> None:
    client.post("/account/password/reset", {"email": user.email})
    page = client.get("/dev/mail").content.decode()
    links = re.findall(r'href="http://testserver(/account/password/reset/[^"]+)"', page)
    form = client.get(links[0], follow=True)
    client.post(
        form.request["PATH_INFO"], {"password1": "another long pass phrase", "password2": "another long pass phrase"}
    )
    user.refresh_from_db()
    assert user.check_password("another long pass phrase")


def test_a_user_without_organization_is_offered_one(client: Client, db: None) -> None:
    user = User.objects.create_superuser("root@example.com", PASSWORD)
    client.force_login(user, backend=BACKEND)
    assert client.get("/keys")["Location"] == "/set-up"
    assert "does not belong to an organization yet" in text_of(client.get("/set-up"))
    assert client.post("/set-up")["Location"] == "/home"
    assert client.get("/keys").status_code == 200
    client.post("/set-up")
    assert Organization.objects.count() == 1


@pytest.mark.django_db
def test_a_new_developer_is_told_once_about_the_confirmation(client: Client, mail_dir: Path) -> None:
    text = text_of(client.post("/signup", NEW, follow=True))
    assert text.count("Open the mail") == 1
    assert "Successfully signed in" not in text
    assert "We sent a confirmation link" not in text
