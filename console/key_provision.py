"""A key from nothing but an address, for scripts and benchmarks: makes what is missing on the way."""

from django.db import transaction

from accounts.models import Organization, Plan, User
from accounts.selectors import get_default_project, get_organization_of
from accounts.services import change_plan, create_api_key
from accounts.types import IssuedKey
from billing.services import grant_credit
from console.sign_up import set_up_organization


@transaction.atomic
def provide_api_key(*, email: str, plan: Plan | None, credit_pusd: int) -> IssuedKey:
    """A new key in the default project of the address's organization. A new user has no usable password."""
    user = User.objects.filter(email__iexact=email).first() or User.objects.create_user(email)
    organization = get_organization_of(user) or set_up_organization(owner=user)
    if plan is not None and organization.plan != plan:
        change_plan(organization=organization, plan=plan, changed_by=None)
    issued = create_api_key(project=get_default_project(organization), name="Command line", created_by=user)
    _grant(organization, credit_pusd, issued)
    return issued


def _grant(organization: Organization, credit_pusd: int, issued: IssuedKey) -> None:
    if credit_pusd:
        reference = f"create_api_key:{issued.api_key.pk}"
        grant_credit(organization=organization, amount_pusd=credit_pusd, reference=reference)
