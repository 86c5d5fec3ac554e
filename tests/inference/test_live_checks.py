"""Jobs computed a second time while they run: mismatches are found and told, and nothing else changes."""

import json
import logging
from itertools import islice
from typing import Any

import pytest
from django.core import mail

from accounts.models import Organization, Project, User
from accounts.types import Caller
from billing.models import Hold, Journal
from billing.selectors import get_funds
from console.weekly_report import get_figures, parse_week
from inference import check_marks, check_queues, kept_content, live_checks, settling
from inference.check_marks import record_answers, wants_check
from inference.check_queues import choose_worker
from inference.dispatch import enqueue_job, ticket_of
from inference.kept_content import Completed, keep_content
from inference.live_checks import offer_check, run_live_check
from inference.models import Check, Deployment, Job
from inference.payloads import PromptPayload, new_payload_key
from inference.redis_clients import get_redis
from inference.replay import compute_answers, replay_job
from inference.runs import as_token
from inference.services import cancel_job, create_job, start_attempt
from inference.worker import alive_key
from lpu_backend import ChatModel, SamplingParams, null_model
from tests.inference.test_replay import PROMPT, BrokenModel
from tests.inference.worker_bench import deliver_job, put_prompt, read_job, write_tokens
from tests.serving import NULL

pytestmark = pytest.mark.django_db

LOG = "inference"


@pytest.fixture(autouse=True)
def _everything_is_checked(settings: Any) -> None:
    settings.LIVE_CHECK_SHARE = 1.0
    get_redis().flushdb()
    kept_content._keeps_content.cache_clear()
    check_queues._list_alive.cache_clear()


def make_job(project: Project) -> Job:
    caller = Caller(organization_id=project.organization_id, project_id=project.pk, plan="free")
    fields: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "seed": 1, "max_completion_tokens": 16}
    job = create_job(caller=caller, model_id=NULL, prompt_tokens=3, payload_key=new_payload_key(), **fields)
    put_prompt(request_id=job.pk, key=job.payload_key or b"", payload=PROMPT)
    return job


@pytest.fixture
def job(project: Project) -> Job:
    """One that runs."""
    started = start_attempt(request_id=make_job(project).pk)
    assert started
    return started


def complete(job: Job, model: ChatModel | None = None) -> None:
    """What the job's own worker says at its end."""
    answers = compute_answers(model or null_model(), job, PROMPT)
    record_answers([Completed(job, PROMPT, answers, null_model().program_hash)])


def check(job: Job) -> Check:
    found = run_live_check(request_id=job.pk, worker="worker-2@lpu", original_worker="worker-1@lpu")
    assert found is not None
    return found


def break_second_worker(monkeypatch: pytest.MonkeyPatch, **faults: Any) -> None:
    monkeypatch.setattr(live_checks, "load_model", lambda *_: BrokenModel(**faults))


def test_the_same_answer_is_told_as_the_same(job: Job) -> None:
    complete(job)
    found = check(job)
    assert (found.kind, found.verdict, found.detail) == ("live", "same", "")
    assert (found.original_worker, found.worker) == ("worker-1@lpu", "worker-2@lpu")


def test_a_wrong_token_alerts_staff_in_log_and_mail(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.create_user("staff@example.com", "secret", is_staff=True)
    break_second_worker(monkeypatch, wrong_at=5)
    complete(job)
    with caplog.at_level(logging.ERROR, logger=LOG):
        found = check(job)
    assert (found.verdict, found.detail) == ("differs", "Choice 0 differs in tokens or text.")
    assert job.pk in caplog.text
    assert [message.to for message in mail.outbox] == [["staff@example.com"]]
    assert "worker-2@lpu" in mail.outbox[0].body
    assert "tok0" not in caplog.text + mail.outbox[0].body


def test_staff_are_mailed_once_an_hour(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_user("staff@example.com", "secret", is_staff=True)
    break_second_worker(monkeypatch, wrong_at=5)
    for _ in range(2):
        complete(job)
        assert check(job).verdict == "differs"
    assert len(mail.outbox) == 1


def test_a_second_computation_that_fails_is_a_difference(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    break_second_worker(monkeypatch, fault=ZeroDivisionError("words that quote a prompt"))
    complete(job)
    found = check(job)
    assert (found.verdict, found.detail) == ("differs", "The second computation failed: ZeroDivisionError")


def test_a_job_that_failed_too_is_none(job: Job, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.LIVE_CHECK_WAIT_S = 0.1
    break_second_worker(monkeypatch, fault=ZeroDivisionError("words that quote a prompt"))
    assert check(job).verdict == "dropped"


def test_a_check_changes_nothing_that_anybody_pays_or_counts(
    job: Job, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot() -> list[Any]:
        week = parse_week(f"{job.created_at:%G-W%V}")
        limits = {key: get_redis().type(key) for key in get_redis().scan_iter("lpu:limit*")}
        rows = list(Job.objects.values()) + list(Hold.objects.values()) + list(Journal.objects.values())
        return [get_funds(organization.pk), get_figures(week), limits, rows]

    complete(job)
    before = snapshot()
    assert check(job).verdict == "same"
    complete(job)
    break_second_worker(monkeypatch, wrong_at=5)
    assert check(job).verdict == "differs"
    assert snapshot() == before


def test_redis_learns_nothing_that_the_job_s_end_leaves_readable(job: Job) -> None:
    complete(job)
    raw = get_redis().get(check_marks.marks_key(job.pk))
    (content, logits), *_ = json.loads(raw)
    assert (len(content), logits) == (64, "")
    job.payload_key = new_payload_key()
    assert check_marks.mark_answers(job.payload_key, compute_answers(null_model(), job, PROMPT))[0].content != content


def test_a_check_gives_way_to_what_waits(job: Job, project: Project) -> None:
    complete(job)
    other = make_job(project)
    enqueue_job(ticket_of(other))
    assert check(job).verdict == "dropped"


def test_a_check_gives_way_when_every_slot_is_taken(job: Job) -> None:
    figures = {"chips": 1, "minimum_chips": 1, "bytes_per_chip": 1, "max_batch": 1, "context_window": 1}
    job.deployment = Deployment.objects.create(model_id=NULL, path="/nothing", state="serving", **figures)
    assert not live_checks.is_under_load(job)
    get_redis().zadd(live_checks.slots_key(job.deployment.pk), {job.pk: 10**15})
    assert live_checks.is_under_load(job)


def test_a_check_that_began_gives_way_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(job)
    answers = iter([False, True])
    monkeypatch.setattr(live_checks, "is_under_load", lambda _: next(answers))
    assert check(job).verdict == "dropped"


def test_one_check_at_a_time_is_computed_by_a_process(job: Job) -> None:
    complete(job)
    with live_checks._computing:
        assert check(job).verdict == "dropped"
    assert check(job).verdict == "same"


def test_an_ended_job_that_nobody_keeps_is_not_checked(job: Job) -> None:
    cancel_job(job=job, usage=None)
    found = check(job)
    assert (found.verdict, found.detail) == ("dropped", "The job had ended before the check began.")


def test_an_ended_job_that_is_kept_is_checked(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    Project.objects.update(keeps_content=True)
    complete(job)
    cancel_job(job=job, usage=None)
    assert check(job).verdict == "same"
    break_second_worker(monkeypatch, wrong_at=5)
    found = check(job)
    assert (found.verdict, found.detail) == ("differs", "Choice 0 differs at token 5.")


def test_a_share_of_the_jobs_is_chosen_and_always_the_same(settings: Any) -> None:
    settings.LIVE_CHECK_SHARE = 0.25
    jobs = [Job(id=f"req_{number}") for number in range(4_000)]
    chosen = [wants_check(job) for job in jobs]
    assert 0.2 < sum(chosen) / len(chosen) < 0.3
    assert chosen == [wants_check(job) for job in jobs]
    settings.LIVE_CHECK_SHARE = 0.0
    assert not any(map(wants_check, jobs))


def test_a_check_is_offered_to_another_worker_where_there_is_one(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(live_checks, "send_live_check", lambda *, request_id, name: sent.append(name))
    monkeypatch.setattr(check_queues, "_here", "worker-1@lpu")
    offer_check(job)
    assert sent == []  # nobody is alive
    check_queues._list_alive.cache_clear()
    for name, served in (("worker-1@lpu", b"*"), ("worker-2@lpu", b"another-model")):
        get_redis().set(alive_key(name), served)
    offer_check(job)
    check_queues._list_alive.cache_clear()
    get_redis().set(alive_key("worker-2@lpu"), NULL.encode())
    offer_check(job)
    assert sent == ["worker-1@lpu", "worker-2@lpu"]
    job.attempts = 2
    offer_check(job)
    assert len(sent) == 2
    assert choose_worker("unknown-model") == "worker-1@lpu"


def test_what_nobody_takes_up_does_not_stay_in_redis(job: Job) -> None:
    check_queues.send_live_check(request_id=job.pk, name="gone@lpu")
    queue = check_queues.check_queue("gone@lpu")
    assert get_redis().llen(queue) == 1
    assert 0 < get_redis().ttl(queue) <= check_queues.LAPSE_S


def test_only_kept_or_chosen_jobs_need_a_digest(job: Job, settings: Any) -> None:
    assert check_marks.wants_digest(job)
    settings.LIVE_CHECK_SHARE = 0.0
    assert not check_marks.wants_digest(job)
    Project.objects.update(keeps_content=True)
    kept_content._keeps_content.cache_clear()
    assert check_marks.wants_digest(job)
    assert keep_content([Completed(job, PromptPayload([1], []), [], "")]) == 1


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs whose checks were sent to another worker."""
    sent: list[str] = []
    monkeypatch.setattr(live_checks, "send_live_check", lambda *, request_id, name: sent.append(request_id))
    get_redis().set(alive_key("worker-2@lpu"), b"*")
    return sent


def test_a_worker_offers_a_check_and_tells_it_what_came_out(project: Project, sent: list[str]) -> None:
    job = make_job(project)
    deliver_job(job.pk)
    assert sent == [job.pk]
    expected = check_marks.mark_answers(bytes(job.payload_key or b""), compute_answers(null_model(), job, PROMPT))
    assert check_marks.take_marks(job.pk) == expected


@pytest.mark.parametrize("made", [0, 5, 16])
def test_a_worker_keeps_what_it_and_others_before_it_made(project: Project, sent: list[str], made: int) -> None:
    Project.objects.update(keeps_content=True)
    job = make_job(project)
    if made:
        started = start_attempt(request_id=job.pk)
        assert started
        answer = null_model().generate(PROMPT.prompt_ids, SamplingParams(max_completion_tokens=16))
        tokens = [as_token(step) for step in islice(answer, made)]
        write_tokens(started, null_model().program_hash, tokens)
    deliver_job(job.pk)
    assert replay_job(request_id=job.pk, worker="here").verdict == Check.Verdict.SAME
    assert check(job).verdict == Check.Verdict.SAME


def test_content_that_cannot_be_kept_does_not_keep_a_job_from_its_end(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(completed: object) -> None:
        raise ValueError(" ".join(["words", "that", "quote"]))

    monkeypatch.setattr(settling, "record_answers", fail)
    job = make_job(project)
    deliver_job(job.pk)
    assert read_job(job.pk).state == Job.State.COMPLETED
    assert "ValueError" in caplog.text
    assert "words that quote" not in caplog.text


def test_a_job_that_nobody_checks_or_keeps_is_not_recorded(
    project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIVE_CHECK_SHARE = 0.0
    recorded: list[object] = []
    monkeypatch.setattr(settling, "record_answers", recorded.append)
    deliver_job(make_job(project).pk)
    assert recorded == []
