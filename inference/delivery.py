"""What a worker does with a job: compute its tokens, put them on its stream, settle, and say that it ended."""

import logging
import time
import traceback
from datetime import datetime

from django.utils import timezone

from inference.leases import take_lease
from inference.models import Job
from inference.registry import load_model
from inference.services import MAX_ATTEMPTS, Usage, cancel_job, complete_job, fail_job, start_attempt
from inference.streams import StreamWriter, end_stream, get_prompt, is_cancelled
from lpu_backend import ChatModel, CheckpointError, SamplingParams

logger = logging.getLogger(__name__)

# The first token leaves at once; later ones share a round trip when they come faster than this.
FLUSH_S = 0.004


def deliver_job(request_id: str) -> None:
    """Computes and settles a job, unless it has ended or another worker is at it."""
    with take_lease(request_id) as is_ours:
        if not is_ours:
            return
        job = start_attempt(request_id=request_id)
        if job is not None and job.is_active:
            _attempt(job)
        end_stream(request_id=request_id)


def _attempt(job: Job) -> None:
    if job.attempts > MAX_ATTEMPTS:
        fail_job(job=job, error_code="engine_fault")
        return
    if job.attempts == 1 and is_cancelled(job.pk):
        cancel_job(job=job, usage=None)
        return
    try:
        run = _Run(job, load_model(job.model_id))
        finish_reason = run.compute()
    except Exception as error:
        _log_fault(job, error)
        fail_job(job=job, error_code="engine_fault")
        return
    if finish_reason is None:
        cancel_job(job=job, usage=run.usage)
    else:
        complete_job(job=job, finish_reason=finish_reason, usage=run.usage)


def _log_fault(job: Job, error: Exception) -> None:
    """Where it failed, without the error's own words, which may quote a prompt; a checkpoint's fault says why."""
    reason = str(error) if isinstance(error, CheckpointError) else ""
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
        self._writer = StreamWriter(request_id=job.pk, key=key, program_hash=model.program_hash)
        self._first_token_at: datetime | None = None
        self._completion_tokens = 0

    @property
    def usage(self) -> Usage:
        tokens = self._completion_tokens
        emulated = self._model.emulate(prompt_tokens=self._job.prompt_tokens, completion_tokens=tokens)
        return Usage(completion_tokens=tokens, first_token_at=self._first_token_at, emulated=emulated)

    def compute(self) -> str | None:
        """The finish reason, or None when the client went away."""
        job, prompt = self._job, self._prompt
        params = SamplingParams(
            max_completion_tokens=job.max_completion_tokens,
            temperature=job.temperature,
            top_p=job.top_p,
            seed=job.seed,
            stop=tuple(prompt.stop),
        )
        pending: list[tuple[int, str]] = []
        flushed_at = 0.0
        for step in self._model.generate(prompt.prompt_ids, params):
            self._completion_tokens += 1
            if step.index >= self._writer.next_index:
                pending.append((step.index, step.text))
            is_due = step.finish_reason is not None or time.monotonic() - flushed_at >= FLUSH_S
            if pending and is_due:
                self._first_token_at = self._first_token_at or timezone.now()
                is_gone = self._writer.write_tokens(pending)
                pending, flushed_at = [], time.monotonic()
                if is_gone and step.finish_reason is None:
                    return None
            if step.finish_reason is not None:
                return step.finish_reason
        raise RuntimeError(f"The answer to {job.pk} ended without a reason.")
