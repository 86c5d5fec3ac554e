"""Prompts and answers of projects that want them kept: for replays, for a while, in the database alone.

Whether a project wants it is looked up at most once a second by each process: a job on the hot path pays nothing.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.utils import timezone

from accounts.models import Project
from inference.database import write_turn
from inference.models import Check, Job, JobContent
from inference.payloads import PromptPayload
from inference.types import ChoiceAnswer


class Completed(NamedTuple):
    """A job whose last token was made."""

    job: Job
    prompt: PromptPayload
    answers: Sequence[ChoiceAnswer]
    program_hash: str


class Kept(NamedTuple):
    """The content of a job: what goes in, what came out, and of which program."""

    prompt: PromptPayload
    answers: list[ChoiceAnswer]
    program_hash: str


def is_kept(job: Job) -> bool:
    """Whether the job's project keeps content now, as of the last second."""
    return _keeps_content(job.project_id, int(time.monotonic()))


def keep_content(completed: Sequence[Completed]) -> int:
    """Keeps what jobs were asked and answered, of those whose projects want that; of how many. After a takeover it may
    be called again, and replaces."""
    kept = [_as_content(each) for each in completed if is_kept(each.job)]
    if kept:
        fields = ["prompt", "answers", "program_hash", "kept_at"]
        with write_turn():
            JobContent.objects.bulk_create(kept, update_conflicts=True, unique_fields=["job"], update_fields=fields)
    return len(kept)


def _as_content(completed: Completed) -> JobContent:
    return JobContent(
        job_id=completed.job.pk,
        prompt=msgspec.msgpack.encode(completed.prompt),
        answers=msgspec.msgpack.encode(list(completed.answers)),
        program_hash=completed.program_hash,
    )


def get_content(request_id: str) -> Kept | None:
    """What was kept of a job; None if nothing was, or not any more."""
    content = JobContent.objects.filter(pk=request_id).first()
    if content is None:
        return None
    prompt = msgspec.msgpack.decode(bytes(content.prompt), type=PromptPayload)
    answers = msgspec.msgpack.decode(bytes(content.answers), type=list[ChoiceAnswer])
    return Kept(prompt, answers, content.program_hash)


def delete_old_content() -> int:
    """Deletes what was kept for longer than the retention, and the checks of that time that found nothing; how much
    content that was."""
    before = timezone.now() - timedelta(days=settings.KEPT_CONTENT_DAYS)
    with write_turn():
        deleted, _ = JobContent.objects.filter(kept_at__lt=before).delete()
    with write_turn():
        Check.objects.filter(started_at__lt=before).exclude(verdict=Check.Verdict.DIFFERS).delete()
    return deleted


@lru_cache(maxsize=10_000)
def _keeps_content(project_id: str, second: int) -> bool:
    return Project.objects.filter(pk=project_id, keeps_content=True).exists()
