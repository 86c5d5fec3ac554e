"""Public reads of accounts."""

from django.db.models import F, QuerySet

from accounts.exceptions import AuthenticationError, MissingApiKeyError, RevokedApiKeyError
from accounts.models import ApiKey, Organization, Project, User
from accounts.services import digest_key
from accounts.types import Caller

BEARER = "bearer "


def get_caller(authorization: str) -> Caller:
    """The caller that an `Authorization` header names.

    Raises MissingApiKeyError, AuthenticationError (unknown key) or RevokedApiKeyError.
    """
    if authorization[: len(BEARER)].lower() != BEARER or not authorization[len(BEARER) :].strip():
        raise MissingApiKeyError
    digest = digest_key(authorization[len(BEARER) :].strip())
    columns = ("pk", "revoked_at", "project_id", "project__organization_id", "project__organization__plan")
    row = ApiKey.objects.filter(digest=digest).values_list(*columns).first()
    if row is None:
        raise AuthenticationError
    api_key_id, revoked_at, project_id, organization_id, plan = row
    if revoked_at is not None:
        raise RevokedApiKeyError
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
