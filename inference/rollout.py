"""Deploying and retiring a model from outside the workers, step by step, waiting until they have done their part."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lpu_backend
from billing.types import PriceQuote
from inference.chips import get_topology, list_placement
from inference.deployments import check_model_id, fail_deployment, finish_draining, retire_model, start_deployment
from inference.exceptions import DeploymentError
from inference.models import Deployment, Job
from inference.queues import call_workers
from inference.registry import fit_model
from inference.worker import list_workers

POLL_S = 0.1

Report = Callable[[str], None]


def place_model(
    *, model_id: str, folder: Path, chips: int | None, pacing: str, price: PriceQuote | None, report: Report
) -> Deployment:
    """Checks a checkpoint, fits it to chips and places it; workers that hear of it load it and put it into service.

    Raises DeploymentError with a sentence for staff, and then nothing was changed.
    """
    folder = folder.expanduser().resolve()
    try:
        check_model_id(model_id)
        report(f"Checking {folder}")
        fit = fit_model(model_id, folder, chips)
        report(
            f"Compiled for {_count(fit.chips, 'chip')} (at least {fit.minimum_chips:,}): {fit.bytes_per_chip:,} bytes "
            f"of weights on each, up to {_count(fit.max_batch, 'request')} at once; times are in mode {fit.mode}"
        )
        deployment = start_deployment(model_id=model_id, folder=folder, fit=fit, pacing=pacing, price=price)
    except lpu_backend.NoRoomError as error:
        raise DeploymentError(f"{error}{_advise(model_id)}") from None
    except lpu_backend.LpuBackendError as error:
        raise DeploymentError(str(error)) from None
    report(f"Placed on {describe_place(deployment)}")
    call_workers()
    return deployment


def deploy_model(
    *,
    model_id: str,
    folder: Path,
    chips: int | None = None,
    pacing: str = Deployment.Pacing.HOST,
    price: PriceQuote | None = None,
    report: Report = lambda line: None,
    timeout_s: float,
) -> Deployment:
    """As `place_model`, then waits until a worker has put it into service. Raises DeploymentError if none does."""
    workers = list_workers(serving=model_id)
    if not workers:
        raise DeploymentError(f"No worker is running that would serve {model_id}; see also LPU_SERVED_MODELS.")
    deployment = place_model(model_id=model_id, folder=folder, chips=chips, pacing=pacing, price=price, report=report)
    report(f"Loading in {_count(len(workers), 'worker')}: {', '.join(workers)}")
    for _ in _polls(timeout_s):
        deployment.refresh_from_db()
        if deployment.state != Deployment.State.LOADING:
            break
    else:
        late = f"No worker had loaded it after {timeout_s:.0f} s; see the workers' logs, and --timeout."
        fail_deployment(deployment_id=deployment.pk, reason=late)
        deployment.refresh_from_db()
    if deployment.state != Deployment.State.SERVING:
        raise DeploymentError(deployment.reason or f"It is {deployment.get_state_display().lower()} already.")
    report(f"In service: {model_id}, program {deployment.program_hash[:16]}")
    return deployment


def retire_and_wait(*, model_id: str, report: Report, timeout_s: float) -> list[Deployment]:
    """No new calls, then waits until the last job has ended and the chips are free; the deployments that it had.

    Raises DeploymentError if there is nothing to retire, or jobs still run after the time given.
    """
    live = list(Deployment.objects.filter(model_id=model_id, state__in=Deployment.LIVE))
    ids = [deployment.pk for deployment in live]
    retire_model(model_id=model_id)
    report(f"{model_id} takes no new calls")
    call_workers()
    reported = -1
    for _ in _polls(timeout_s):
        finish_draining()
        running = Job.objects.filter(deployment__in=ids, state__in=Job.ACTIVE).count()
        if running and running != reported:
            report(f"Waiting for {_count(running, 'job')}")
            reported = running
        if not Deployment.objects.filter(pk__in=ids, state__in=Deployment.LIVE).exists():
            call_workers()
            report(f"{model_id} is retired; {_count(sum(one.chips for one in live), 'chip')} free again")
            return list(Deployment.objects.filter(pk__in=ids))
    raise DeploymentError(f"Jobs of {model_id} still run after {timeout_s:.0f} s; it retires once they have ended.")


def describe_place(deployment: Deployment) -> str:
    """`8 chips: node 1, rack 0`."""
    topology = get_topology()
    placement = list_placement(deployment)
    nodes, racks = ({of(chip) for chip in placement} for of in (topology.node_of, topology.rack_of))
    return f"{_count(len(placement), 'chip')}: {_span('node', nodes)}, {_span('rack', racks)}"


def _advise(model_id: str) -> str:
    held = Deployment.objects.filter(model_id=model_id, state=Deployment.State.SERVING).first()
    if held is None:
        return ""
    return f"; both versions lie side by side while jobs end, so retire {model_id} first or give the cluster more chips"


def _polls(timeout_s: float) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    yield
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        yield


def _span(what: str, numbers: set[int]) -> str:
    first, last = min(numbers), max(numbers)
    if first == last:
        return f"{what} {first}"
    return f"{len(numbers):,} {what}s from {first} to {last}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
