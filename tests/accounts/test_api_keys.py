import string
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.exceptions import AuthenticationError, MissingApiKeyError, RevokedApiKeyError
from accounts.models import ApiKey, AuditEvent, Project, User
from accounts.selectors import get_caller, list_api_keys
from accounts.services import create_api_key, digest_key, revoke_api_key, touch_api_key
from accounts.types import IssuedKey

SECRET_LENGTH = 47


def test_a_key_has_a_prefix_and_forty_random_characters(project: Project, user: User) -> None:
    secrets = {create_api_key(project=project, name="Key", created_by=user).secret for _ in range(20)}
    assert len(secrets) == 20
    for secret in secrets:
        assert secret.startswith("lpu_sk_")
        assert len(secret) == SECRET_LENGTH
        assert set(secret.removeprefix("lpu_sk_")) <= set(string.ascii_letters + string.digits)


def test_only_the_digest_of_a_key_is_stored(issued_key: IssuedKey) -> None:
    random_part = issued_key.secret.removeprefix("lpu_sk_")
    stored = ApiKey.objects.values().get()
    assert stored["digest"] == digest_key(issued_key.secret)
    assert not any(random_part[:20] in str(value) for value in stored.values())
    assert issued_key.secret not in repr(issued_key)


def test_the_digest_needs_the_installations_secret(issued_key: IssuedKey, settings: Any) -> None:
    before = digest_key(issued_key.secret)
    settings.API_KEY_DIGEST_SECRET = "another"
    assert digest_key(issued_key.secret) != before


def test_a_label_shows_both_ends_and_never_changes(issued_key: IssuedKey) -> None:
    key = issued_key.api_key
    label = f"{issued_key.secret[:11]}…{issued_key.secret[-4:]}"
    assert key.label == label
    touch_api_key(api_key_id=key.pk)
    revoke_api_key(api_key=key, revoked_by=None)
    constant = ("id", "project_id", "created_by_id", "name", "digest", "prefix", "last_four", "created_at")
    after = ApiKey.objects.get()
    assert [getattr(after, name) for name in constant] == [getattr(key, name) for name in constant]
    assert after.label == label


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_names_its_caller(issued_key: IssuedKey, project: Project, scheme: str) -> None:
    caller = get_caller(f"{scheme} {issued_key.secret}")
    assert caller.api_key_id == issued_key.api_key.pk
    assert (caller.project_id, caller.organization_id) == (project.pk, project.organization_id)
    assert caller.plan == "free"


def test_finding_a_caller_takes_one_query(issued_key: IssuedKey, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        get_caller(f"Bearer {issued_key.secret}")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic abc", "lpu_sk_abc"])
def test_it_rejects_a_header_without_a_key(authorization: str) -> None:
    with pytest.raises(MissingApiKeyError):
        get_caller(authorization)


def test_it_rejects_an_unknown_key_without_repeating_it(issued_key: IssuedKey) -> None:
    unknown = issued_key.secret[:-1] + ("0" if issued_key.secret[-1] != "0" else "1")
    with pytest.raises(AuthenticationError) as refusal:
        get_caller(f"Bearer {unknown}")
    assert type(refusal.value) is AuthenticationError
    assert unknown not in f"{refusal.value!r} {refusal.value.message}"


def test_it_rejects_a_revoked_key(issued_key: IssuedKey) -> None:
    revoke_api_key(api_key=issued_key.api_key, revoked_by=None)
    with pytest.raises(RevokedApiKeyError):
        get_caller(f"Bearer {issued_key.secret}")


def test_a_key_is_revoked_once(issued_key: IssuedKey, user: User) -> None:
    assert revoke_api_key(api_key=issued_key.api_key, revoked_by=user)
    revoked_at = ApiKey.objects.get().revoked_at
    assert not revoke_api_key(api_key=issued_key.api_key, revoked_by=None)
    assert ApiKey.objects.get().revoked_at == revoked_at
    event = AuditEvent.objects.get(action="api_key.revoked")
    assert (event.actor, event.target) == (user, issued_key.api_key.pk)


def test_no_audit_event_carries_a_secret(issued_key: IssuedKey) -> None:
    revoke_api_key(api_key=issued_key.api_key, revoked_by=None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_auditevent")
        rows = str(cursor.fetchall())
    assert issued_key.api_key.pk in rows
    assert issued_key.secret not in rows
    assert issued_key.api_key.digest not in rows


def test_use_of_a_key_is_noted_at_most_once_a_minute(issued_key: IssuedKey) -> None:
    key = issued_key.api_key
    touch_api_key(api_key_id=key.pk)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    touch_api_key(api_key_id=key.pk)
    assert ApiKey.objects.get().last_used_at == first
    stale = timezone.now() - timedelta(seconds=61)
    ApiKey.objects.update(last_used_at=stale)
    touch_api_key(api_key_id=key.pk)
    assert ApiKey.objects.get().last_used_at != stale


def test_keys_are_listed_live_ones_first_and_newest_first(project: Project, user: User) -> None:
    keys = [create_api_key(project=project, name=name, created_by=user).api_key for name in ("a", "b", "c")]
    revoke_api_key(api_key=keys[2], revoked_by=user)
    assert [key.name for key in list_api_keys(project.organization)] == ["b", "a", "c"]
