import logging

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEvent, Organization, User
from accounts.selectors import get_caller, get_default_project
from accounts.services import create_api_key
from accounts.types import IssuedKey
from tests.console.pages import text_in, text_of

HTMX = {"hx-request": "true"}


def test_it_says_what_to_do_when_there_are_no_keys(browser: Client) -> None:
    assert "No keys yet." in text_of(browser.get("/keys"))


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["without scripts", "with htmx"])
def test_a_new_key_lets_its_bearer_in(browser: Client, organization: Organization, headers: dict[str, str]) -> None:
    response = browser.post("/keys", {"name": "laptop"}, headers=headers)
    secret = text_in(response, "new-key")
    assert get_caller(f"Bearer {secret}").organization_id == organization.pk
    assert "you will not see it again" in text_of(response)


def test_a_new_key_is_filled_into_all_three_snippets(browser: Client) -> None:
    response = browser.post("/keys", {"name": "laptop"}, headers=HTMX)
    secret = text_in(response, "new-key")
    text = text_of(response)
    assert f"Bearer {secret}" in text
    assert text.count(f'api_key="{secret}"') == 2
    assert "YOUR_API_KEY" not in text


def test_a_new_key_is_in_no_later_page_audit_event_or_log(browser: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        secret = text_in(browser.post("/keys", {"name": "laptop"}), "new-key")
    for page in ("/keys", "/quickstart", "/home", "/playground", "/usage", "/billing"):
        assert secret not in browser.get(page).content.decode()
    assert secret not in caplog.text
    assert not any(secret in f"{event.action} {event.target}" for event in AuditEvent.objects.all())
    assert not any(secret in str(value) for row in ApiKey.objects.values_list() for value in row)


def test_a_response_with_a_new_key_is_never_stored(browser: Client) -> None:
    assert "no-store" in browser.post("/keys", {"name": "laptop"})["Cache-Control"]


def test_a_fragment_brings_the_new_list_along(browser: Client) -> None:
    response = browser.post("/keys", {"name": "laptop"}, headers=HTMX)
    assert 'id="keys"' in response.content.decode()
    assert 'hx-swap-oob="true"' in response.content.decode()
    assert b"<html" not in response.content


def test_a_key_needs_a_name(browser: Client) -> None:
    response = browser.post("/keys", {"name": " "})
    assert "This field is required." in text_of(response)
    assert not ApiKey.objects.exists()


def test_the_list_shows_label_name_and_status(browser: Client, issued_key: IssuedKey) -> None:
    text = text_of(browser.get("/keys"))
    assert f"Test key {issued_key.api_key.label} Active" in text
    assert "Never" in text
    assert issued_key.secret not in text


def test_a_name_is_shown_as_text(browser: Client, organization: Organization, user: User) -> None:
    create_api_key(project=get_default_project(organization), name="<script>alert(1)</script>", created_by=user)
    assert b"<script>alert" not in browser.get("/keys").content


def test_a_revoked_key_stays_in_the_list_as_revoked(browser: Client, issued_key: IssuedKey) -> None:
    response = browser.post(f"/keys/{issued_key.api_key.pk}/revoke", follow=True)
    assert "is revoked. Requests that use it are refused" in text_of(response)
    assert f"{issued_key.api_key.label} Revoked" in text_of(response)
    assert AuditEvent.objects.filter(action="api_key.revoked", target=issued_key.api_key.pk).count() == 1


def test_it_does_not_revoke_on_a_mere_visit(browser: Client, issued_key: IssuedKey) -> None:
    assert browser.get(f"/keys/{issued_key.api_key.pk}/revoke").status_code == 405
    assert not ApiKey.objects.exclude(revoked_at=None).exists()


def test_another_organizations_key_is_neither_seen_nor_revoked(browser: Client, neighbour: Organization) -> None:
    issued = create_api_key(project=get_default_project(neighbour), name="theirs", created_by=None)
    assert "theirs" not in text_of(browser.get("/keys"))
    assert browser.post(f"/keys/{issued.api_key.pk}/revoke").status_code == 404
    assert ApiKey.objects.get(pk=issued.api_key.pk).revoked_at is None
