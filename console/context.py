"""What every page knows. Functions run only where a template asks."""

from functools import partial

from allauth.account.models import EmailAddress
from django.conf import settings
from django.http import HttpRequest

from console.navigation import list_links


def console(request: HttpRequest) -> dict[str, object]:
    return {
        "public_url": settings.PUBLIC_URL,
        "default_model": settings.DEFAULT_MODEL,
        "is_production": settings.IS_PRODUCTION,
        "navigation": partial(list_links, request),
        "needs_confirmation": partial(needs_confirmation, request),
    }


def needs_confirmation(request: HttpRequest) -> bool:
    """Whether the signed-in user's address still waits for its confirmation; an address made by staff never does."""
    unconfirmed = EmailAddress.objects.filter(user_id=request.user.pk, primary=True, verified=False)
    return bool(unconfirmed.exists())
