"""Where Stripe calls."""

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.events import store_event
from billing.exceptions import EventSignatureError
from billing.stripe_gateway import read_event
from billing.tasks import process_stripe_event


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Stores a signed event and answers; the work is a task's. Anything but 2xx makes Stripe send it again."""
    if not settings.STRIPE_WEBHOOK_SECRET:
        return HttpResponse("Payments are not configured.", status=503, content_type="text/plain")
    try:
        event = read_event(body=request.body, signature=request.headers.get("Stripe-Signature", ""))
    except EventSignatureError:
        return HttpResponse("The signature does not hold.", status=400, content_type="text/plain")
    with transaction.atomic():
        if store_event(event=event, body=request.body.decode()):
            transaction.on_commit(lambda: process_stripe_event.delay(event.event_id))
    return HttpResponse(status=204)
