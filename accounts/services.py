"""Public writes of accounts."""

import hashlib
import hmac
import math
import time
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import identifiers
from accounts.models import ApiKey, AuditEvent, Membership, Organization, Plan, Project, User
from accounts.types import IssuedKey

LAST_USED_GRAIN = timedelta(minutes=1)
MOST_NOTED = 100_000  # keys whose last note this process remembers; beyond, it starts anew
_noted_at_s: dict[str, float] = {}


def digest_key(secret: str) -> str:
    """HMAC-SHA256 of a key, in hex: a stolen database neither reveals a key nor lets one be tried offline."""
    return hmac.new(settings.API_KEY_DIGEST_SECRET.encode(), secret.encode(), hashlib.sha256).hexdigest()


@transaction.atomic
def create_organization(*, owner: User, name: str, plan: Plan = Plan.FREE) -> Organization:
    """An organization with its owner and a default project."""
    organization = Organization.objects.create(name=name, plan=plan)
    Membership.objects.create(user=owner, organization=organization, role=Membership.Role.OWNER)
    Project.objects.create(organization=organization, name="Default project", is_default=True)
    record_event(organization=organization, actor=owner, action="organization.created", target=organization.pk)
    return organization


@transaction.atomic
def change_plan(*, organization: Organization, plan: Plan, changed_by: User | None) -> None:
    organization.plan = plan
    organization.save(update_fields=["plan"])
    record_event(organization=organization, actor=changed_by, action="organization.plan_changed", target=plan)


@transaction.atomic
def set_content_keeping(*, project: Project, keeps_content: bool, changed_by: User | None) -> bool:
    """Whether prompts and answers of the project's jobs are kept from now on; False if it was so before."""
    changed = Project.objects.filter(pk=project.pk).exclude(keeps_content=keeps_content)
    if not changed.update(keeps_content=keeps_content):
        return False
    action = "project.keeps_content" if keeps_content else "project.keeps_no_content"
    record_event(organization=project.organization, actor=changed_by, action=action, target=project.pk)
    return True


@transaction.atomic
def create_api_key(*, project: Project, name: str, created_by: User | None) -> IssuedKey:
    """A new key. The secret is in the answer and nowhere else."""
    secret = identifiers.new_api_key_secret()
    api_key = ApiKey.objects.create(
        project=project,
        name=name,
        created_by=created_by,
        digest=digest_key(secret),
        prefix=secret[: len(identifiers.KEY_PREFIX) + 4],
        last_four=secret[-4:],
    )
    record_event(organization=project.organization, actor=created_by, action="api_key.created", target=api_key.pk)
    return IssuedKey(api_key=api_key, secret=secret)


@transaction.atomic
def revoke_api_key(*, api_key: ApiKey, revoked_by: User | None) -> bool:
    """Ends a key for new requests; False if it had ended before."""
    changed = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=timezone.now())
    if changed:
        organization = api_key.project.organization
        record_event(organization=organization, actor=revoked_by, action="api_key.revoked", target=api_key.pk)
    return bool(changed)


def touch_api_key(*, api_key_id: str) -> None:
    """Notes that a key was used, at most once a minute: a busy key must not become a busy row."""
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_GRAIN)
    ApiKey.objects.filter(stale, pk=api_key_id).update(last_used_at=now)


def touch_api_keys(*, api_key_ids: Collection[str]) -> None:
    """As `touch_api_key`, for many at once; those that this process noted within the last minute cost nothing."""
    now_s = time.monotonic()
    due = {key for key in api_key_ids if now_s - _noted_at_s.get(key, -math.inf) >= LAST_USED_GRAIN.total_seconds()}
    if not due:
        return
    ApiKey.objects.filter(pk__in=due).update(last_used_at=timezone.now())
    if len(_noted_at_s) > MOST_NOTED:
        _noted_at_s.clear()
    _noted_at_s.update(dict.fromkeys(due, now_s))


def record_event(*, organization: Organization, actor: User | None, action: str, target: str) -> None:
    AuditEvent.objects.create(organization=organization, actor=actor, action=action, target=target)
