"""Public reads of accounts."""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import F, QuerySet

from accounts.exceptions import AuthenticationError, MissingApiKeyError, RevokedApiKeyError
from accounts.models import ApiKey, Organization, Project, User
from accounts.services import digest_key
from accounts.types import Caller

BEARER = "bearer "
# Plain SQL, as every request comes by: to compile a query costs more than to run this one.
CALLERS = """
SELECT k.digest, k.id, k.revoked_at, k.project_id, p.organization_id, o.plan
FROM accounts_apikey k
JOIN accounts_project p ON p.id = k.project_id
JOIN accounts_organization o ON o.id = p.organization_id
WHERE k.digest IN ({places})
"""


def get_caller(authorization: str) -> Caller:
    """The caller that an `Authorization` header names.

    Raises MissingApiKeyError, AuthenticationError (unknown key) or RevokedApiKeyError.
    """
    (caller,) = get_callers([authorization])
    if isinstance(caller, AuthenticationError):
        raise caller
    return caller


def get_callers(authorizations: Sequence[str]) -> list[Caller | AuthenticationError]:
    """As `get_caller`, for many headers with one query: in their order, each caller, or why there is none."""
    digests = [_digest(authorization) for authorization in authorizations]
    rows = _find_callers(list({digest for digest in digests if digest}))
    return [_caller(rows.get(digest)) if digest else MissingApiKeyError() for digest in digests]


def _find_callers(digests: Sequence[str]) -> dict[str, list[Any]]:
    if not digests:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(CALLERS.format(places=", ".join(["%s"] * len(digests))), digests)
        return {digest: row for digest, *row in cursor.fetchall()}


def _digest(authorization: str) -> str:
    """Of the key in the header; empty if there is none."""
    secret = authorization[len(BEARER) :].strip()
    return digest_key(secret) if secret and authorization[: len(BEARER)].lower() == BEARER else ""


def _caller(row: Sequence[Any] | None) -> Caller | AuthenticationError:
    if row is None:
        return AuthenticationError()
    api_key_id, revoked_at, project_id, organization_id, plan = row
    if revoked_at is not None:
        return RevokedApiKeyError()
    return Caller(organization_id=organization_id, project_id=project_id, plan=plan, api_key_id=api_key_id)


def get_organization_of(user: User) -> Organization | None:
    """The organization a user works in: the first joined, until the console lets one switch."""
    return Organization.objects.filter(memberships__user=user).order_by("memberships__created_at").first()


def get_default_project(organization: Organization) -> Project:
    return Project.objects.select_related("organization").get(organization=organization, is_default=True)


def list_api_keys(organization: Organization) -> QuerySet[ApiKey]:
    """Every key of the organization, live ones first, newest first."""
    keys = ApiKey.objects.filter(project__organization=organization).select_related("project", "created_by")
    return keys.order_by(F("revoked_at").asc(nulls_first=True), "-created_at")
