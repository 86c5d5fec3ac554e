"""Kept jobs computed again, and what it takes for the verdict to be `same`."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import AuditEvent, Project, User
from accounts.services import set_content_keeping
from inference import kept_content, replay
from inference.kept_content import Completed, delete_old_content, get_content, keep_content
from inference.models import Check, Job, JobContent
from inference.payloads import PromptPayload
from inference.replay import compute_answers, find_difference
from inference.types import ChoiceAnswer
from lpu_backend import ChatModel, Engine, SamplingParams, Step, null_model
from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.runtime.numerics import Floats
from lpu_backend.serial_engine import SerialEngine
from tests.inference.test_usage import add_job
from tests.serving import NULL

pytestmark = pytest.mark.django_db

PROMPT = PromptPayload(prompt_ids=[1, 2, 3], stop=[])


class BrokenModel:
    """The null model on a machine that gets one token wrong, or one digest, or the hash of its program."""

    def __init__(self, *, wrong_at: int | None = None, program_hash: str = "", fault: Exception | None = None) -> None:
        self._model, self._wrong_at, self._fault = null_model(), wrong_at, fault
        self.program_hash = program_hash or self._model.program_hash

    def generate(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        if self._fault:
            raise self._fault
        for step in self._model.generate(prompt_ids, params):
            is_wrong = step.index == self._wrong_at
            yield Step(step.index, 99 if is_wrong else step.token_id, step.text, step.finish_reason)

    def make_engine(self, max_batch: int) -> Engine:
        return SerialEngine(self.generate, max_batch)


@pytest.fixture(autouse=True)
def _forget_projects() -> None:
    kept_content._keeps_content.cache_clear()


@pytest.fixture
def keeping(project: Project) -> Project:
    set_content_keeping(project=project, keeps_content=True, changed_by=None)
    return project


def add_kept_job(project: Project, model: ChatModel | None = None, **fields: Any) -> Job:
    model = model or null_model()
    job = add_job(project, model_id=NULL, **fields)
    answers = compute_answers(model, job, PROMPT)
    assert keep_content([Completed(job, PROMPT, answers, model.program_hash)]) == 1
    return job


@pytest.fixture
def replayed(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, dict[str, str]]]:
    """Runs the command; its exit status and answer."""

    def run(request_id: str) -> tuple[int, dict[str, str]]:
        status = 0
        try:
            call_command("replay_job", request_id, "--json")
        except SystemExit as error:
            status = int(str(error.code))
        return status, json.loads(capsys.readouterr().out)

    return run


Replayed = Callable[[str], tuple[int, dict[str, str]]]


def test_a_kept_job_gives_the_same_again(keeping: Project, replayed: Replayed) -> None:
    job = add_kept_job(keeping, choices=3)
    status, answer = replayed(job.pk)
    assert (status, answer["verdict"]) == (0, "same")
    assert answer["detail"].startswith("48 tokens")
    check = Check.objects.get(job=job)
    assert (check.kind, check.verdict, check.finished_at is not None) == ("replay", "same", True)


def test_a_wrong_token_is_found_and_named(
    keeping: Project, replayed: Replayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add_kept_job(keeping)
    monkeypatch.setattr(replay, "load_model", lambda *_: BrokenModel(wrong_at=5))
    assert replayed(job.pk) == (
        1,
        {"request_id": job.pk, "verdict": "differs", "detail": "Choice 0 differs at token 5."},
    )


def test_another_program_is_a_difference(keeping: Project, replayed: Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    job = add_kept_job(keeping)
    monkeypatch.setattr(replay, "load_model", lambda *_: BrokenModel(program_hash="f" * 64))
    status, answer = replayed(job.pk)
    assert status == 1
    assert answer["detail"].startswith("The program is ffffffffffff now")


@pytest.fixture
def computed(keeping: Project, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, CheckpointModel]:
    """A kept job of two choices that a real engine computed, and its model."""
    model = read_model(checkpoint)
    monkeypatch.setattr(replay, "load_model", lambda *_: model)
    return add_kept_job(keeping, model, choices=2), model


def test_logits_are_compared_where_the_engine_tells_of_them(
    computed: tuple[Job, CheckpointModel], replayed: Replayed
) -> None:
    status, answer = replayed(computed[0].pk)
    assert (status, answer["detail"]) == (0, "32 tokens and logits")


def test_one_bit_of_the_logits_is_enough_of_a_difference(
    computed: tuple[Job, CheckpointModel], replayed: Replayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, model = computed
    compute = model.runtime.compute_logits

    def compute_wrongly(hidden: Floats) -> Floats:
        """The least likely token becomes less likely by one unit in the last place: nothing else shows it."""
        logits = compute(hidden).copy()
        lowest = logits.argmin(axis=1, keepdims=True)
        values = np.take_along_axis(logits, lowest, axis=1)
        np.put_along_axis(logits, lowest, np.nextafter(values, np.float32(-np.inf)), axis=1)
        return logits

    monkeypatch.setattr(model.runtime, "compute_logits", compute_wrongly)
    status, answer = replayed(job.pk)
    assert (status, answer["detail"]) == (1, "The logits of choice 0 differ; its tokens are the same.")


def test_what_is_not_kept_cannot_be_replayed(project: Project, replayed: Replayed) -> None:
    job = add_job(project, model_id=NULL)
    answers = compute_answers(null_model(), job, PROMPT)
    assert keep_content([Completed(job, PROMPT, answers, "")]) == 0
    assert replayed(job.pk)[0] == 2
    assert replayed("req_unknown") == (
        2,
        {"request_id": "req_unknown", "verdict": "not_kept", "detail": "There is no job req_unknown."},
    )


def test_content_comes_back_as_it_was(keeping: Project) -> None:
    job = add_job(keeping, model_id=NULL)
    prompt = PromptPayload(prompt_ids=[7, 8], stop=["\x00", "é"])
    answers = [ChoiceAnswer(token_ids=(1, 2), text="a\x00é", finish_reason="stop", digest="d")]
    for _ in range(2):  # a takeover's worker keeps it again
        assert keep_content([Completed(job, prompt, answers, "p")]) == 1
    kept = get_content(job.pk)
    assert kept is not None
    assert (kept.prompt, kept.answers, kept.program_hash) == (prompt, answers, "p")


def test_content_is_deleted_after_its_time_and_differences_stay(keeping: Project) -> None:
    old, new = add_kept_job(keeping), add_kept_job(keeping)
    long_ago = timezone.now() - timedelta(days=31)
    JobContent.objects.filter(job=old).update(kept_at=long_ago)
    for verdict in (Check.Verdict.SAME, Check.Verdict.DIFFERS):
        Check.objects.create(job=old, kind=Check.Kind.LIVE, verdict=verdict, started_at=long_ago)
    assert delete_old_content() == 1
    assert get_content(old.pk) is None
    assert get_content(new.pk) is not None
    assert Check.objects.get().verdict == Check.Verdict.DIFFERS


def test_who_switched_it_on_is_written_down_once(project: Project, user: User) -> None:
    assert set_content_keeping(project=project, keeps_content=True, changed_by=user)
    assert not set_content_keeping(project=project, keeps_content=True, changed_by=user)
    event = AuditEvent.objects.get(action="project.keeps_content")
    assert (event.actor, event.target) == (user, project.pk)


def test_no_content_reaches_logs_or_reprs(keeping: Project, caplog: pytest.LogCaptureFixture) -> None:
    job = add_kept_job(keeping)
    replay.replay_job(request_id=job.pk, worker="here")
    kept = get_content(job.pk)
    assert kept is not None
    assert "tok00" in kept.answers[0].text
    shown = repr(kept.answers[0]) + repr(JobContent.objects.get()) + repr(Check.objects.get().detail) + caplog.text
    assert "tok00" not in shown


ONE = ChoiceAnswer(token_ids=(1, 2, 3), text="abc", finish_reason="stop", digest="d")


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ([ONE], ""),
        ([ChoiceAnswer((1, 2, 3), "abc", "stop", "")], ""),
        ([ONE, ONE], "There were 1 choices"),
        ([ChoiceAnswer((1, 9, 3), "abc", "stop", "d")], "differs at token 1"),
        ([ChoiceAnswer((1, 2), "abc", "stop", "d")], "had 3 tokens; it has 2"),
        ([ChoiceAnswer((1, 2, 3), "abc", "stop", "e")], "The logits of choice 0"),
        ([ChoiceAnswer((1, 2, 3), "abc", "length", "d")], "ended with stop"),
        ([ChoiceAnswer((1, 2, 3), "abd", "stop", "d")], "The text of choice 0"),
    ],
)
def test_every_kind_of_difference_is_found(other: list[ChoiceAnswer], found: str) -> None:
    difference = find_difference([ONE], other)
    assert found in difference
    assert bool(found) == bool(difference)
