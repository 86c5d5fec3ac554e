"""Rows that most tests start from."""

from typing import Any

import pytest

from accounts.models import Organization, Project, User
from accounts.selectors import get_default_project
from accounts.services import create_api_key
from accounts.types import IssuedKey
from console.sign_up import set_up_organization


@pytest.fixture(autouse=True)
def _fast_passwords(settings: Any) -> None:
    """The real hash is slow on purpose; no test depends on its strength."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


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
