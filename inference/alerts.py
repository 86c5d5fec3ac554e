"""What staff are told at once: that the same program, prompt and seed gave something else."""

import logging
from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from accounts.models import User
from inference.models import Check
from inference.redis_clients import get_redis, redis_key

logger = logging.getLogger(__name__)

MAIL_EVERY_S = 3_600
SHOWN_FOR = timedelta(days=7)
TEXT = """\
A {kind} check of job {job} on {model} gave another answer than the job itself.

{detail}
First computed by: {original_worker}
Computed again by: {worker}

A worker, a machine or a build computes wrong answers, or did when it served this job. All checks that differ:
{url}
Further ones are not mailed for an hour."""


def alert_difference(check: Check) -> int:
    """Logs it and, at most once an hour, mails all active staff; how many."""
    logger.error("Check %s: job %s on %s differs.", check.pk, check.job_id, check.job.model_id)
    if not get_redis().set(redis_key("check", "mailed"), b"1", nx=True, ex=MAIL_EVERY_S):
        return 0
    text = TEXT.format(
        kind=check.kind,
        job=check.job_id,
        model=check.job.model_id,
        detail=check.detail,
        original_worker=check.original_worker or "not known",
        worker=check.worker or "not known",
        url=f"{settings.PUBLIC_URL}/admin/inference/check/?verdict__exact={Check.Verdict.DIFFERS}",
    )
    staff = User.objects.filter(is_staff=True, is_active=True).values_list("email", flat=True)
    return sum(send_mail("A check found another answer", text, None, [address]) for address in staff)


def count_differences() -> int:
    """The checks of the last seven days that differ."""
    return Check.objects.filter(verdict=Check.Verdict.DIFFERS, started_at__gt=timezone.now() - SHOWN_FOR).count()
