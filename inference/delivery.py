"""What a worker does with a job: compute its tokens, put them on its stream, settle, and say that it ended."""

import logging
import time
import traceback
from datetime import datetime

from django.utils import timezone

from inference.exceptions import ProgramChangedError
from inference.leases import take_lease
from inference.models import Deployment, Job
from inference.pacing import HardwarePace
from inference.payloads import StreamToken
from inference.queues import enqueue_job
from inference.registry import load_model
from inference.sampling_params import logprobs_of, params_of
from inference.selectors import get_bound
from inference.services import (
    MAX_ATTEMPTS,
    Usage,
    cancel_job,
    complete_job,
    fail_job,
    put_back_job,
    start_attempt,
)
from inference.streams import StreamWriter, end_stream, get_prompt, is_cancelled
from lpu_backend import ChatModel, CheckpointError, Step

logger = logging.getLogger(__name__)

# The first token leaves at once; later ones share a round trip when they come faster than this.
FLUSH_S = 0.004


class ChipsFailedError(Exception):
    """A chip failed under the job: its deployment lies elsewhere now, or nowhere."""


def deliver_job(request_id: str) -> None:
    """Computes and settles a job, unless it has ended, another worker is at it, or no slot is free for it."""
    bound = get_bound(request_id)
    if bound is None:
        return
    with take_lease(request_id, bound) as is_ours:
        if not is_ours:
            return
        job = start_attempt(request_id=request_id)
        try:
            if job is not None and job.is_active:
                _attempt(job)
            end_stream(request_id=request_id)
            return
        except ChipsFailedError:
            logger.warning("A chip failed under job %s; it goes on elsewhere.", request_id)
    # Only now, when the lease is free for whoever takes it up.
    enqueue_job(request_id=request_id, model=bound.model_id)


def _attempt(job: Job) -> None:
    """Ends the job, or raises ChipsFailedError, and then it waits in its queue again."""
    if job.attempts - job.moves > MAX_ATTEMPTS or (job.deployment and not job.deployment.can_compute):
        fail_job(job=job, error_code="engine_fault")
        return
    if job.attempts == 1 and is_cancelled(job.pk):
        cancel_job(job=job, usage=None)
        return
    try:
        run = _Run(job, load_model(job.model_id, job.deployment))
        finish_reason = run.compute()
    except ChipsFailedError:
        if _has_chips(job) and put_back_job(job=job):
            raise
        fail_job(job=job, error_code="engine_fault")
        return
    except Exception as error:
        _log_fault(job, error)
        fail_job(job=job, error_code="engine_fault")
        return
    if finish_reason is None:
        cancel_job(job=job, usage=run.usage)
    else:
        complete_job(job=job, finish_reason=finish_reason, usage=run.usage)


def _has_chips(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk, deployment__state__in=Deployment.COMPUTING).exists()


def _log_fault(job: Job, error: Exception) -> None:
    """Where it failed, without the error's own words, which may quote a prompt; a checkpoint's fault says why."""
    reason = str(error) if isinstance(error, CheckpointError | ProgramChangedError) else ""
    place = "".join(traceback.format_tb(error.__traceback__))
    logger.error("Job %s on %s failed: %s %s\n%s", job.pk, job.model_id, type(error).__name__, reason, place)


class _Run:
    """One computation of a job. After a takeover it computes from the start and stays silent until it passes the last
    token that was streamed: the same prompt and seed give the same tokens, so the reader sees a pause and no seam."""

    def __init__(self, job: Job, model: ChatModel) -> None:
        self._job = job
        self._model = model
        key = bytes(job.payload_key or b"")
        self._prompt = get_prompt(request_id=job.pk, key=key)
        self._writer = StreamWriter(
            request_id=job.pk, key=key, program_hash=model.program_hash, deployment_id=job.deployment_id
        )
        is_paced = job.deployment is not None and job.deployment.pacing == Deployment.Pacing.HARDWARE
        self._pace = HardwarePace(model, prompt_tokens=job.prompt_tokens) if is_paced else None
        self._first_token_at: datetime | None = None
        self._completion_tokens = 0

    @property
    def usage(self) -> Usage:
        tokens = self._completion_tokens
        emulated = self._model.emulate(prompt_tokens=self._job.prompt_tokens, completion_tokens=tokens)
        return Usage(completion_tokens=tokens, first_token_at=self._first_token_at, emulated=emulated)

    def compute(self) -> str | None:
        """The finish reason, or None when the client went away. Raises ChipsFailedError."""
        pending: list[StreamToken] = []
        flushed_at = 0.0
        for step in self._model.generate(self._prompt.prompt_ids, params_of(self._job, self._prompt)):
            self._completion_tokens += 1
            if step.index >= self._writer.next_index:
                pending.append(_as_token(step))
            if self._pace and pending:
                self._pace.hold_back(step.index + 1)
            is_due = step.finish_reason is not None or time.monotonic() - flushed_at >= FLUSH_S
            if pending and is_due:
                is_gone = self._write(pending, is_last=step.finish_reason is not None)
                pending, flushed_at = [], time.monotonic()
                if is_gone:
                    return None
            if step.finish_reason is not None:
                return step.finish_reason
        raise RuntimeError(f"The answer to {self._job.pk} ended without a reason.")

    def _write(self, tokens: list[StreamToken], *, is_last: bool) -> bool:
        """Whether the client is gone. After the last token nothing stops the job any more."""
        self._first_token_at = self._first_token_at or timezone.now()
        signals = self._writer.write_tokens(tokens)
        if is_last:
            return False
        deployment = self._job.deployment
        if deployment and signals.generation > deployment.generation and not signals.is_cancelled:
            raise ChipsFailedError
        return signals.is_cancelled


def _as_token(step: Step) -> StreamToken:
    finish_reason, logprobs = step.finish_reason or "", logprobs_of(step.logprobs)
    return StreamToken(step.index, step.text, step.token_id, finish_reason=finish_reason, logprobs=logprobs)
