"""A signed-in browser without scripts, and a neighbour whose things it must not reach."""

from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import Organization, User
from console.sign_up import set_up_organization

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _private_cache(settings: Any) -> None:
    """Sessions and allauth's rate limits of one test do not reach the next."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()


@pytest.fixture
def browser(client: Client, user: User, organization: Organization) -> Client:
    client.force_login(user, backend=BACKEND)
    return client


@pytest.fixture
def neighbour(db: None) -> Organization:
    return set_up_organization(owner=User.objects.create_user("grace@example.com", PASSWORD))


@pytest.fixture
def mail_dir(settings: Any, tmp_path: Path) -> Path:
    """Mail goes to files, as in development."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = settings.MAIL_DIR = tmp_path / "mail"
    return tmp_path / "mail"
