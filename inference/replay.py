"""A job computed a second time, and compared bit for bit: replays of kept jobs, and what live checks rest on."""

from collections.abc import Callable, Sequence

from django.utils import timezone

from inference.database import write_turn
from inference.exceptions import ProgramChangedError
from inference.kept_content import Kept, get_content
from inference.models import Check, Job
from inference.payloads import PromptPayload
from inference.registry import load_model
from inference.sampling_params import params_of
from inference.types import ChoiceAnswer
from lpu_backend import ChatModel, CheckpointError, CompileError, Engine, Generation, Produced, SamplingParams, Step

HASH_DIGITS = 12  # of a program's hash, as people are told it
TICKS_PER_LOOK = 16


class OvertakenError(Exception):
    """Live traffic needs the machine: a computation that nobody waits for gives way."""


class NotKeptError(Exception):
    """There is nothing to replay: no such job, or its content was not kept, or not for so long."""


def replay_job(*, request_id: str, worker: str, check: Check | None = None) -> Check:
    """Computes a kept job again, here and now, and stores the verdict (in `check`, if there is one). Raises
    NotKeptError."""
    kept = get_content(request_id)
    job = Job.objects.select_related("deployment").filter(pk=request_id).first()
    if kept is None or job is None:
        raise NotKeptError(f"The content of {request_id} is not kept." if job else f"There is no job {request_id}.")
    check = check or Check(job=job, kind=Check.Kind.REPLAY)
    check.worker, check.started_at = worker, timezone.now()
    verdict, detail = _compare_with_kept(job, kept)
    return end_check(check, verdict, detail)


def end_check(check: Check, verdict: Check.Verdict, detail: str = "") -> Check:
    """Stores how a check ended."""
    check.verdict, check.detail, check.finished_at = verdict, detail[:300], timezone.now()
    with write_turn():
        check.save()
    return check


def _compare_with_kept(job: Job, kept: Kept) -> tuple[Check.Verdict, str]:
    try:
        model = load_model(job.model_id, job.deployment)
    except ProgramChangedError as error:
        return Check.Verdict.DIFFERS, str(error)
    except (CheckpointError, CompileError) as error:
        return Check.Verdict.DROPPED, f"Its program cannot be loaded here: {error}"
    if model.program_hash != kept.program_hash:
        was, now = kept.program_hash[:HASH_DIGITS], model.program_hash[:HASH_DIGITS]
        return Check.Verdict.DIFFERS, f"The program is {now} now; the job ran on {was}."
    difference = find_difference(kept.answers, compute_answers(model, job, kept.prompt))
    if difference:
        return Check.Verdict.DIFFERS, difference
    tokens = sum(len(answer.token_ids) for answer in kept.answers)
    logits = "tokens and logits" if all(answer.digest for answer in kept.answers) else "tokens (no logits were kept)"
    return Check.Verdict.SAME, f"{tokens:,} {logits}"


def compute_answers(
    model: ChatModel, job: Job, prompt: PromptPayload, is_overtaken: Callable[[], bool] = lambda: False
) -> list[ChoiceAnswer]:
    """All choices of a job, on an engine that nobody else uses: nothing cached, no company in the batch.

    Raises OvertakenError when `is_overtaken`, asked every few steps, says so; a fault of the model as it came.
    """
    params = [params_of(job, prompt, choice) for choice in range(job.choices)]
    engine = model.make_engine(len(params))
    records = [_Record(engine, prompt.prompt_ids, each) for each in params]
    ticks = 0
    while not engine.is_idle:
        if ticks % TICKS_PER_LOOK == 0 and is_overtaken():
            raise OvertakenError
        for produced in engine.tick():
            next(record for record in records if record.generation is produced.generation).take(produced)
        ticks += 1
    return [record.answer for record in records]


class _Record:
    """Collects the steps of one choice."""

    def __init__(self, engine: Engine, prompt_ids: Sequence[int], params: SamplingParams) -> None:
        self.generation: Generation = engine.submit(prompt_ids, params, wants_digest=True)
        self._steps: list[Step] = []

    def take(self, produced: Produced) -> None:
        if produced.error is not None:
            raise produced.error
        self._steps += produced.steps

    @property
    def answer(self) -> ChoiceAnswer:
        return ChoiceAnswer(
            token_ids=tuple(step.token_id for step in self._steps),
            text="".join(step.text for step in self._steps),
            finish_reason=self._steps[-1].finish_reason or "",
            digest=self.generation.digest,
        )


def find_difference(first: Sequence[ChoiceAnswer], second: Sequence[ChoiceAnswer]) -> str:
    """Where the second answers part from the first, without a word of them; nothing where they are the same."""
    if len(first) != len(second):
        return f"There were {len(first)} choices; there are {len(second)} now."
    found = (_find_difference(index, *pair) for index, pair in enumerate(zip(first, second, strict=True)))
    return next(filter(None, found), "")


def _find_difference(choice: int, first: ChoiceAnswer, second: ChoiceAnswer) -> str:
    pairs = enumerate(zip(first.token_ids, second.token_ids, strict=False))
    at = next((index for index, (one, other) in pairs if one != other), None)
    if at is not None:
        return f"Choice {choice} differs at token {at}."
    if len(first.token_ids) != len(second.token_ids):
        return f"Choice {choice} had {len(first.token_ids)} tokens; it has {len(second.token_ids)} now."
    if first.digest and second.digest and first.digest != second.digest:
        return f"The logits of choice {choice} differ; its tokens are the same."
    if first.finish_reason != second.finish_reason:
        return f"Choice {choice} ended with {first.finish_reason}; it ends with {second.finish_reason} now."
    return "" if first.text == second.text else f"The text of choice {choice} differs; its tokens are the same."
