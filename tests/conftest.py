"""Rows that most tests start from."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.operations import BaseDatabaseOperations

from accounts.models import Organization, Project, User
from accounts.selectors import get_default_project
from accounts.services import create_api_key
from accounts.types import IssuedKey
from billing.append_only import create_triggers, drop_triggers
from console.sign_up import set_up_organization

# Imported here once: a fixture that is imported in two places is two fixtures, and two workers in one process.
from tests.serving import (  # noqa: F401
    broken_null_model,
    celery_worker_on_threads,
    closed_connections,
    fading_null_model,
    path,
    server,
    server_url,
    slow_null_model,
    worker_pulse,
)


@pytest.fixture(autouse=True)
def _fast_passwords(settings: Any) -> None:
    """The real hash is slow on purpose; no test depends on its strength."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Lets Django empty the tables between transactional tests, which the ledger's triggers refuse.

    What migrations put there (models, prices) comes back afterwards, so that tests may run in any order.
    """
    flush = BaseDatabaseOperations.execute_sql_flush
    with django_db_blocker.unblock():
        first_rows = connection.creation.serialize_db_to_string()

    def flush_unguarded(operations: BaseDatabaseOperations, statements: list[str]) -> None:
        drop_triggers(connection)
        flush(operations, statements)
        connection.creation.deserialize_db_from_string(first_rows)
        create_triggers(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush_unguarded)
        yield


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada@example.com", "correct horse battery staple")


@pytest.fixture
def organization(user: User) -> Organization:
    """The organization of `user`, with its default project and the promotional credit."""
    return set_up_organization(owner=user)


@pytest.fixture
def project(organization: Organization) -> Project:
    return get_default_project(organization)


@pytest.fixture
def issued_key(project: Project, user: User) -> IssuedKey:
    return create_api_key(project=project, name="Test key", created_by=user)
