"""What every page knows."""

from django.conf import settings
from django.http import HttpRequest


def console(request: HttpRequest) -> dict[str, object]:
    return {"public_url": settings.PUBLIC_URL, "is_production": settings.IS_PRODUCTION}
