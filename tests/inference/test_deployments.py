"""A deployment's life in rows: placed, in service, draining, retired; and never two on one chip."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Project
from billing.models import Price
from billing.selectors import get_price
from billing.types import PriceQuote
from inference import deployments
from inference.chips import list_placement, read_inventory, take_chips
from inference.deployments import (
    activate_deployment,
    adopt_model,
    fail_deployment,
    finish_draining,
    retire_model,
    start_deployment,
)
from inference.exceptions import DeploymentError
from inference.models import ClusterChip, Deployment, Job, LanguageModel
from inference.restoration import fail_chip
from lpu_backend import ModelFit, NoRoomError
from tests.billing.concurrency import run_at_once
from tests.inference.test_usage import add_job

pytestmark = pytest.mark.django_db

State = Deployment.State
FOLDER = Path("/models/one")


def fit(chips: int = 1) -> ModelFit:
    return ModelFit(
        chips=chips, minimum_chips=1, bytes_per_chip=10, max_batch=2, context_window_tokens=64, mode="estimate"
    )


def deploy(model_id: str = "second", chips: int = 1, **fields: Any) -> Deployment:
    return start_deployment(model_id=model_id, folder=FOLDER, fit=fit(chips), **fields)


def serve(model_id: str = "second", chips: int = 1) -> Deployment:
    deployment = deploy(model_id, chips)
    assert activate_deployment(deployment_id=deployment.pk, program_hash=f"hash of {deployment.pk}")
    deployment.refresh_from_db()
    return deployment


def drained(deployment: Deployment) -> Deployment:
    """As if it had begun to drain a while ago."""
    Deployment.objects.filter(pk=deployment.pk).update(draining_at=timezone.now() - timedelta(minutes=1))
    finish_draining()
    deployment.refresh_from_db()
    return deployment


def test_a_new_model_takes_calls_once_a_worker_has_loaded_it() -> None:
    deployment = deploy()
    model = LanguageModel.objects.get(pk="second")
    assert (model.is_active, deployment.state) == (False, State.LOADING)
    assert activate_deployment(deployment_id=deployment.pk, program_hash="abc")
    model.refresh_from_db()
    assert (model.is_active, model.deployment, model.context_window, model.outage) == (True, deployment, 64, "")


def test_it_is_put_into_service_once() -> None:
    deployment = serve()
    assert not activate_deployment(deployment_id=deployment.pk, program_hash="another")
    deployment.refresh_from_db()
    assert deployment.program_hash == f"hash of {deployment.pk}"


def test_it_holds_its_chips_in_the_order_of_its_program() -> None:
    assert list_placement(deploy(chips=16)) == tuple(range(16))
    assert read_inventory().taken == dict.fromkeys(range(16), Deployment.objects.get().pk)


def test_a_refusal_leaves_nothing_behind() -> None:
    with pytest.raises(NoRoomError, match="72 chips are needed as 9 whole nodes"):
        deploy(chips=72)
    assert not Deployment.objects.exists()
    assert not LanguageModel.objects.filter(pk="second").exists()
    assert not Price.objects.filter(model="second").exists()


@pytest.mark.parametrize("name", ["", "-x", "white space", "a" * 101, "null-16", "queue\n"])
def test_it_refuses_a_name_that_no_request_could_use(name: str) -> None:
    with pytest.raises(DeploymentError):
        deploy(name)


def test_a_model_that_is_being_deployed_is_not_deployed_again() -> None:
    deploy()
    with pytest.raises(DeploymentError, match="being deployed already"):
        deploy()


def test_a_taken_chip_is_not_taken_again() -> None:
    placement = list_placement(deploy("one"))
    other = deploy("two")
    with pytest.raises(DeploymentError, match="taken or failed"), transaction.atomic():
        take_chips(other, placement)


def test_the_database_refuses_a_failed_chip_that_holds_something() -> None:
    deploy()
    with pytest.raises(IntegrityError), transaction.atomic():
        ClusterChip.objects.filter(pk=0).update(failed_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_two_deployments_at_once_never_get_the_same_chips() -> None:
    read_inventory()
    outcomes = run_at_once(*(lambda name=f"m{n}": deploy(name, chips=24) for n in range(4)))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(error) for error in refused] == [NoRoomError, NoRoomError]
    assert ClusterChip.objects.exclude(deployment=None).count() == 48
    for deployment in Deployment.objects.all():
        assert len(list_placement(deployment)) == 24


@pytest.mark.django_db(transaction=True)
def test_one_model_deployed_twice_at_once_is_deployed_once() -> None:
    read_inventory()
    outcomes = run_at_once(deploy, deploy)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Deployment", "DeploymentError"]
    assert ClusterChip.objects.exclude(deployment=None).count() == 1


def test_a_new_model_costs_what_the_default_one_costs_unless_told_otherwise() -> None:
    deploy()
    assert (get_price("second").input_pusd, get_price("second").output_pusd) == (50_000, 80_000)
    deploy("third", price=PriceQuote(input_pusd=1, output_pusd=2))
    assert (get_price("third").input_pusd, get_price("third").output_pusd) == (1, 2)


def test_another_version_takes_the_calls_and_the_old_one_ends_its_jobs(project: Project) -> None:
    old = serve()
    job = add_job(project, model=old.model, deployment=old, state=Job.State.RUNNING)
    new = serve()
    assert LanguageModel.objects.get(pk="second").deployment == new
    assert drained(old).state == State.DRAINING
    Job.objects.filter(pk=job.pk).update(state=Job.State.COMPLETED)
    assert drained(old).state == State.RETIRED
    assert set(read_inventory().taken.values()) == {new.pk}


def test_what_could_not_be_loaded_leaves_the_old_version_in_service() -> None:
    old = serve()
    new = deploy()
    assert fail_deployment(deployment_id=new.pk, reason="config.json: broken")
    new.refresh_from_db()
    assert (new.state, new.reason) == (State.FAILED, "config.json: broken")
    assert LanguageModel.objects.get(pk="second").deployment == old
    assert set(read_inventory().taken.values()) == {old.pk}


def test_a_retired_model_takes_no_calls_and_frees_its_chips_after_its_last_job(project: Project) -> None:
    deployment = serve()
    job = add_job(project, model=deployment.model, deployment=deployment, state=Job.State.QUEUED)
    retire_model(model_id="second")
    assert not LanguageModel.objects.get(pk="second").is_active
    assert (drained(deployment).state, len(list_placement(deployment))) == (State.DRAINING, 1)
    Job.objects.filter(pk=job.pk).update(state=Job.State.COMPLETED)
    assert (drained(deployment).state, len(list_placement(deployment))) == (State.RETIRED, 0)


def test_a_deployment_that_just_began_to_drain_waits_for_calls_on_their_way() -> None:
    deployment = serve()
    retire_model(model_id="second")
    assert finish_draining() == 0
    deployment.refresh_from_db()
    assert deployment.state == State.DRAINING


def test_what_is_not_in_service_cannot_be_retired() -> None:
    with pytest.raises(DeploymentError, match="no model nothing"):
        retire_model(model_id="nothing")
    serve()
    retire_model(model_id="second")
    with pytest.raises(DeploymentError, match="not in service"):
        retire_model(model_id="second")


def test_a_model_that_is_retired_while_it_is_loaded_is_not_put_into_service() -> None:
    deployment = deploy()
    retire_model(model_id="second")
    assert not activate_deployment(deployment_id=deployment.pk, program_hash="abc")
    assert read_inventory().taken == {}


def test_a_model_without_a_deployment_is_adopted_once_and_keeps_its_context_window() -> None:
    for _ in range(2):
        adopt_model(model_id="lpu-demo", folder=FOLDER, fit=fit())
    deployment = Deployment.objects.get()
    activate_deployment(deployment_id=deployment.pk, program_hash="abc")
    adopt_model(model_id="lpu-demo", folder=FOLDER, fit=fit())
    model = LanguageModel.objects.get(pk="lpu-demo")
    assert (model.deployment, model.context_window) == (deployment, 1024)
    assert Deployment.objects.count() == 1


def test_what_cannot_be_adopted_is_out_of_service_with_a_reason() -> None:
    adopt_model(model_id="lpu-demo", folder=FOLDER, fit=None, reason="config.json: cannot be read")
    assert LanguageModel.objects.get(pk="lpu-demo").outage == "config.json: cannot be read"


def test_what_finds_no_chips_comes_when_some_are_free() -> None:
    big = serve("big", chips=64)
    adopt_model(model_id="lpu-demo", folder=FOLDER, fit=fit())
    assert "1 chip is needed" in LanguageModel.objects.get(pk="lpu-demo").outage
    retire_model(model_id="big")
    drained(big)
    assert Deployment.objects.get(model_id="lpu-demo").state == State.LOADING


def test_an_admin_that_gives_a_cluster_fewer_chips_keeps_those_in_use(settings: Any) -> None:
    serve("big", chips=16)
    settings.CLUSTER_CHIPS = 8
    with pytest.raises(NoRoomError):
        deploy("small", chips=8)
    with transaction.atomic():
        deployments.lock_inventory()
    assert ClusterChip.objects.count() == 16


def test_a_draining_deployment_without_chips_has_failed() -> None:
    deployment = serve("big", chips=64)
    retire_model(model_id="big")
    fail_chip(number=71)
    fail_chip(number=0)
    deployment.refresh_from_db()
    assert (deployment.state, read_inventory().taken) == (State.FAILED, {})
