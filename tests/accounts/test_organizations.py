import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Membership, Organization, Plan, Project, User
from accounts.selectors import get_default_project, get_organization_of
from accounts.services import change_plan, create_organization
from billing.selectors import get_funds


def test_an_organization_begins_with_its_owner_and_a_default_project(user: User) -> None:
    organization = create_organization(owner=user, name="Analytical Engines")
    membership = Membership.objects.get()
    assert (membership.user, membership.organization, membership.role) == (user, organization, "owner")
    assert get_default_project(organization).name == "Default project"
    assert organization.plan == "free"
    assert AuditEvent.objects.get().action == "organization.created"


def test_signing_up_brings_the_promotional_credit(organization: Organization) -> None:
    assert get_funds(organization.pk).available_pusd == settings.PROMOTIONAL_CREDIT_PUSD


def test_ids_say_what_they_name(organization: Organization, project: Project) -> None:
    assert organization.pk.startswith("org_")
    assert project.pk.startswith("proj_")


def test_an_organization_has_one_default_project(organization: Organization) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Project.objects.create(organization=organization, name="Second", is_default=True)
    Project.objects.create(organization=organization, name="Second")


def test_a_user_works_in_the_organization_joined_first(user: User, organization: Organization) -> None:
    create_organization(owner=user, name="Later")
    assert get_organization_of(user) == organization


def test_a_user_without_membership_has_no_organization(user: User) -> None:
    assert get_organization_of(user) is None


def test_a_changed_plan_is_stored_and_recorded(organization: Organization, user: User) -> None:
    change_plan(organization=organization, plan=Plan.DEVELOPER, changed_by=user)
    organization.refresh_from_db()
    assert organization.plan == "developer"
    assert AuditEvent.objects.filter(action="organization.plan_changed", actor=user, target="developer").exists()


def test_an_address_belongs_to_one_user_whatever_its_case(user: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("ADA@example.com")
    assert User.objects.get_by_natural_key("ADA@Example.com") == user
