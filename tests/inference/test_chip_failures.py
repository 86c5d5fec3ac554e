"""A chip fails: the instance on it moves, and its jobs pause and go on with the same tokens and the same bill."""

from typing import Any

import pytest
from redis import Redis

from accounts.models import Organization, Project
from accounts.types import Caller
from billing.models import Hold, Journal
from billing.selectors import get_funds
from inference import delivery
from inference.chips import list_placement, read_inventory
from inference.deployments import activate_deployment, adopt_model
from inference.exceptions import DeploymentError
from inference.models import ClusterChip, Deployment, Job, LanguageModel
from inference.payloads import PromptPayload, StreamToken, new_payload_key
from inference.redis_clients import get_redis
from inference.registry import fit_model, load_model
from inference.restoration import fail_chip, repair_chip
from inference.services import create_job, start_attempt
from lpu_backend import Engine, SamplingParams
from lpu_backend.serial_engine import SerialEngine
from tests.inference.test_deployments import FOLDER, serve
from tests.inference.worker_bench import deliver_job, is_waiting, put_prompt, read_tokens, write_tokens
from tests.serving import NULL

pytestmark = pytest.mark.django_db

State = Deployment.State


@pytest.fixture(autouse=True)
def redis(settings: Any) -> Redis:
    settings.SERVES_NULL_MODEL = True
    get_redis().flushdb()
    return get_redis()


@pytest.fixture
def deployment(project: Project) -> Deployment:
    """The null model, placed on one chip."""
    adopt_model(model_id=NULL, folder=FOLDER, fit=fit_model(NULL, FOLDER))
    deployment = Deployment.objects.get()
    activate_deployment(deployment_id=deployment.pk, program_hash=load_model(NULL).program_hash)
    deployment.refresh_from_db()
    return deployment


@pytest.fixture
def job(deployment: Deployment, project: Project) -> Job:
    caller = Caller(organization_id=project.organization_id, project_id=project.pk, plan="free")
    fields: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "seed": 1, "max_completion_tokens": 16}
    key = new_payload_key()
    job = create_job(caller=caller, model_id=NULL, deployment=deployment, prompt_tokens=3, payload_key=key, **fields)
    put_prompt(request_id=job.pk, key=key, payload=PromptPayload(prompt_ids=[1, 2, 3], stop=[]))
    return job


class _FailingUnderIt:
    """The null model, whose chip fails when it is about to make one of its tokens."""

    def __init__(self, *, at: int, also_fails: tuple[int, ...] = ()) -> None:
        self._model, self._at, self._also_fails = load_model(NULL), at, also_fails
        self.program_hash, self.emulate = self._model.program_hash, self._model.emulate

    def make_engine(self, max_batch: int) -> Engine:
        return SerialEngine(self.generate, max_batch)

    def generate(self, prompt_ids: Any, params: SamplingParams) -> Any:
        for step in self._model.generate(prompt_ids, params):
            if step.index == self._at:
                for number in (*self._also_fails, list_placement(Deployment.objects.get())[0]):
                    fail_chip(number=number)
            yield step


@pytest.mark.parametrize("at", [0, 1, 7, 14])
def test_a_job_pauses_and_goes_on_with_the_same_tokens_and_one_bill(
    job: Job, monkeypatch: pytest.MonkeyPatch, at: int, organization: Organization
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "load_model", lambda *_: _FailingUnderIt(at=at))
        deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.moves) == (Job.State.QUEUED, 1)
    assert is_waiting(job)
    assert [index for index, _ in read_tokens(job)] == list(range(at + 1))
    deliver_job(job.pk)
    undisturbed = [step.text for step in load_model(NULL).generate([1, 2, 3], SamplingParams(16))]
    assert [text for _, text in read_tokens(job)] == undisturbed
    job.refresh_from_db()
    assert (job.state, job.completion_tokens, job.cost_pusd) == (Job.State.COMPLETED, 16, 3 * 50_000 + 16 * 80_000)
    assert Journal.objects.filter(kind=Journal.Kind.USAGE).count() == 1
    assert get_funds(organization.pk).held_pusd == 0


def test_a_chip_that_fails_with_the_last_token_changes_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "load_model", lambda *_: _FailingUnderIt(at=15))
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.moves) == (Job.State.COMPLETED, 0)
    assert not is_waiting(job)


def test_failures_of_chips_are_no_deaths_of_workers(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(4):
        monkeypatch.setattr(delivery, "load_model", lambda *_, at=at: _FailingUnderIt(at=at))
        deliver_job(job.pk)
    monkeypatch.setattr(delivery, "load_model", load_model)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts, job.moves) == (Job.State.COMPLETED, 5, 4)


def test_without_anything_to_stand_in_the_job_fails_unbilled_and_calls_are_told_why(
    job: Job, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    others = tuple(range(1, 72))
    monkeypatch.setattr(delivery, "load_model", lambda *_: _FailingUnderIt(at=3, also_fails=others))
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code, job.cost_pusd) == (Job.State.FAILED, "engine_fault", 0)
    assert not is_waiting(job)
    assert Hold.objects.get().state == Hold.State.RELEASED
    assert "node 0 has a failed chip" in LanguageModel.objects.get(pk=NULL).outage


def test_a_waiting_job_of_a_model_that_is_out_of_service_fails_unbilled(job: Job, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(state=State.OUT_OF_SERVICE)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code, job.cost_pusd) == (Job.State.FAILED, "engine_fault", 0)


def test_a_job_never_goes_on_with_another_program(job: Job, deployment: Deployment) -> None:
    assert start_attempt(request_id=job.pk)
    write_tokens(job, "another program", [StreamToken(0, " tok00")])
    deliver_job(job.pk)
    assert read_tokens(job) == [(0, " tok00")]
    job.refresh_from_db()
    assert (job.state, job.error_code, job.cost_pusd) == (Job.State.FAILED, "engine_fault", 0)


def test_a_folder_that_holds_another_program_now_is_not_computed_with(job: Job, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(program_hash="another program")
    deliver_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error_code, job.cost_pusd) == (Job.State.FAILED, "engine_fault", 0)


def test_an_idle_chip_fails_without_moving_anything() -> None:
    deployment = serve()
    failure = fail_chip(number=5)
    assert (failure.deployment, failure.placement) == (None, ())
    deployment.refresh_from_db()
    assert (deployment.generation, list_placement(deployment)) == (1, (0,))


def test_what_lay_on_the_failed_chip_lies_on_the_spare_and_the_rest_stays() -> None:
    deployment = serve(chips=16)
    failure = fail_chip(number=3)
    assert failure.placement == (*range(64, 72), *range(8, 16)) == list_placement(deployment)
    deployment.refresh_from_db()
    assert (deployment.generation, deployment.state) == (2, State.SERVING)
    assert read_inventory().failed == {3}


def test_a_repair_brings_back_what_was_out_of_service() -> None:
    deployment = serve(chips=64)
    fail_chip(number=64)
    fail_chip(number=0)
    deployment.refresh_from_db()
    assert (deployment.state, list_placement(deployment)) == (State.OUT_OF_SERVICE, ())
    assert repair_chip(number=0) == [deployment]
    deployment.refresh_from_db()
    assert (deployment.state, deployment.reason, list_placement(deployment)) == (State.SERVING, "", tuple(range(64)))


def test_a_new_placement_never_takes_a_failed_chip() -> None:
    serve("one")
    fail_chip(number=0)
    fail_chip(number=1)
    assert list_placement(serve("two", chips=4)) == (2, 3, 4, 5)
    assert not ClusterChip.objects.exclude(failed_at=None).exclude(deployment=None).exists()


@pytest.mark.parametrize(("change", "message"), [(fail_chip, "failed already"), (repair_chip, "has not failed")])
def test_a_chip_changes_once(change: Any, message: str) -> None:
    serve()
    if change is fail_chip:
        fail_chip(number=9)
    with pytest.raises(DeploymentError, match=message):
        change(number=9)
    with pytest.raises(DeploymentError, match="no chip 72; it has 72"):
        change(number=72)
