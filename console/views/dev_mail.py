"""The mail of development, where a developer can find it. Production has no such page."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from console.mail import list_mails


@never_cache
def dev_mail(request: HttpRequest) -> HttpResponse:
    if settings.IS_PRODUCTION:
        raise Http404
    return render(request, "console/dev_mail.html", {"mails": list_mails(settings.MAIL_DIR)})
