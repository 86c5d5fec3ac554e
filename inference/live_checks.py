"""A share of the live traffic is computed a second time, on another worker where there is one, and compared.

A check begins while its job is active, or reads what its project keeps: nothing is stored for it. It is no job: nobody
pays for it, no limit, usage or report counts it, and it gives way to live traffic.
"""

import logging
import threading
import time

from django.conf import settings
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from inference.alerts import alert_difference
from inference.check_marks import Mark, find_marked_difference, mark_answers, take_marks, wants_check
from inference.check_queues import choose_worker, send_live_check
from inference.dispatch import count_waiting, slots_key
from inference.kept_content import get_content
from inference.models import Check, Job
from inference.payloads import PromptPayload, open_prompt
from inference.redis_clients import get_redis
from inference.registry import load_model
from inference.replay import OvertakenError, compute_answers, end_check, find_difference
from inference.streams import prompt_key
from inference.types import ChoiceAnswer

logger = logging.getLogger(__name__)

LOOK_S = 0.05

_computing = threading.Lock()


def offer_check(job: Job) -> None:
    """Called by a worker as it begins a job for the first time. Whatever comes of it, the job goes on."""
    if job.attempts != 1 or not wants_check(job):
        return
    try:
        if name := choose_worker(job.model_id):
            send_live_check(request_id=job.pk, name=name)
    except (BrokerError, RedisError) as error:
        logger.warning("No check of job %s: %s", job.pk, type(error).__name__)


def run_live_check(*, request_id: str, worker: str, original_worker: str) -> Check | None:
    """Computes a job again and compares; stores the verdict, and alerts when it differs. None for an unknown job."""
    job = Job.objects.select_related("deployment").filter(pk=request_id).first()
    if job is None:
        return None
    check = Check(job=job, kind=Check.Kind.LIVE, worker=worker, original_worker=original_worker)
    if not _computing.acquire(blocking=False):
        return end_check(check, Check.Verdict.DROPPED, "Another check was running here.")
    try:
        verdict, detail = _run(job)
    except OvertakenError:
        verdict, detail = Check.Verdict.DROPPED, "Live traffic needed the machine."
    finally:
        _computing.release()
    end_check(check, verdict, detail)
    if verdict == Check.Verdict.DIFFERS:
        alert_difference(check)
    return check


def _run(job: Job) -> tuple[Check.Verdict, str]:
    key = bytes(job.payload_key or b"")
    if is_under_load(job):
        raise OvertakenError
    prompt = _read_prompt(job, key) if job.is_active else None
    if prompt is None:
        return _compare_with_kept(job)
    answers, fault = _compute(job, prompt)
    marks = _await_marks(job)
    if marks is None:
        return Check.Verdict.DROPPED, "The job did not complete."
    return _as_verdict(fault or find_marked_difference(marks, mark_answers(key, answers)))


def _read_prompt(job: Job, key: bytes) -> PromptPayload | None:
    """None when the job ends in this moment."""
    sealed = get_redis().get(prompt_key(job.pk))
    return open_prompt(key, job.pk, sealed) if isinstance(sealed, bytes) else None


def _compare_with_kept(job: Job) -> tuple[Check.Verdict, str]:
    """The job ended before the check began: only what its project keeps is there to compare with."""
    kept = get_content(job.pk)
    if kept is None:
        return Check.Verdict.DROPPED, "The job had ended before the check began."
    answers, fault = _compute(job, kept.prompt)
    return _as_verdict(fault or find_difference(kept.answers, answers))


def _compute(job: Job, prompt: PromptPayload) -> tuple[list[ChoiceAnswer], str]:
    """The answers, or that there are none where the job had some; not in the error's words, which may quote a prompt.
    Raises OvertakenError."""
    try:
        model = load_model(job.model_id, job.deployment)
        return compute_answers(model, job, prompt, lambda: is_under_load(job)), ""
    except OvertakenError:
        raise
    except Exception as error:
        return [], f"The second computation failed: {type(error).__name__}"


def _as_verdict(difference: str) -> tuple[Check.Verdict, str]:
    return (Check.Verdict.DIFFERS if difference else Check.Verdict.SAME), difference


def is_under_load(job: Job) -> bool:
    """Whether something waits for the job's model, or every slot of its deployment is taken."""
    if count_waiting(job.model_id):
        return True
    deployment = job.deployment
    if deployment is None:
        return False
    taken = get_redis().zcount(slots_key(deployment.pk), time.time() * 1_000, "+inf")
    return int(taken) >= deployment.max_batch


def _await_marks(job: Job) -> list[Mark] | None:
    """The marks of the job's own answer; None if it ends without any, or not in time."""
    deadline = time.monotonic() + settings.LIVE_CHECK_WAIT_S
    is_active = True
    while is_active and time.monotonic() < deadline:
        # Looked at first: what has ended by now has left its marks.
        is_active = Job.objects.filter(pk=job.pk, state__in=Job.ACTIVE).exists()
        marks = take_marks(job.pk)
        if marks is not None:
            return marks
        time.sleep(LOOK_S)
    return None
