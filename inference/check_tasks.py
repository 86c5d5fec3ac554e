"""Celery tasks of checks and replays, on each worker's queue of checks, and of the content that is kept."""

from typing import Any

from celery import shared_task

from inference import kept_content
from inference.check_queues import CHECK_JOB, REPLAY_JOB
from inference.live_checks import run_live_check
from inference.models import Check
from inference.replay import NotKeptError, end_check, replay_job


@shared_task(name=CHECK_JOB, bind=True, acks_late=False)
def check_job(task: Any, request_id: str, original_worker: str) -> None:
    """Acknowledged at once: a check that its worker does not survive is not made again."""
    run_live_check(request_id=request_id, worker=task.request.hostname or "", original_worker=original_worker)


@shared_task(name=REPLAY_JOB, bind=True, acks_late=False)
def replay_kept_job(task: Any, check_id: int) -> None:
    check = Check.objects.select_related("job").filter(pk=check_id).first()
    if check is None:
        return
    try:
        replay_job(request_id=check.job_id, worker=task.request.hostname or "", check=check)
    except NotKeptError as error:
        end_check(check, Check.Verdict.DROPPED, str(error))
    except Exception as error:
        end_check(check, Check.Verdict.DIFFERS, f"The second computation failed: {type(error).__name__}")


@shared_task(name="inference.delete_old_content")
def delete_old_content() -> None:
    kept_content.delete_old_content()
