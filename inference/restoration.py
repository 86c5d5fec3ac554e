"""Chips fail and are repaired: an instance moves to a spare, waits without chips, or comes back."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import F
from django.utils import timezone

import lpu_backend
from inference.chips import free_chips, list_placement, lock_inventory, take_chips
from inference.database import write_turn
from inference.exceptions import DeploymentError
from inference.generations import publish_generation
from inference.models import ClusterChip, Deployment

State = Deployment.State


@dataclass(frozen=True, slots=True)
class ChipFailure:
    """What the failure of a chip did: to which deployment, and to which chips that moved; none if it is out of service.

    `deployment` is None where the chip was idle.
    """

    deployment: Deployment | None
    placement: tuple[int, ...]


def fail_chip(*, number: int) -> ChipFailure:
    """Marks a chip as failed and moves what lay on it. Its jobs pause and go on, or fail unbilled where nothing could
    stand in. Raises DeploymentError for a chip that there is not, or that has failed already."""
    with write_turn(), transaction.atomic():
        lock_inventory()
        chip = _get_chip(number)
        if chip.failed_at is not None:
            raise DeploymentError(f"Chip {number} has failed already.")
        deployment = chip.deployment
        placement = list_placement(deployment) if deployment else ()
        if deployment:
            free_chips(deployment)
        ClusterChip.objects.filter(pk=number).update(failed_at=timezone.now())
        if deployment:
            placement = _replace(deployment, placement)
    if deployment:
        deployment.refresh_from_db()
        publish_generation(deployment)
    return ChipFailure(deployment=deployment, placement=placement)


def repair_chip(*, number: int) -> list[Deployment]:
    """Marks a chip as working again; the deployments that came back into service with it. Raises DeploymentError."""
    with write_turn(), transaction.atomic():
        lock_inventory()
        chip = _get_chip(number)
        if chip.failed_at is None:
            raise DeploymentError(f"Chip {number} has not failed.")
        ClusterChip.objects.filter(pk=number).update(failed_at=None)
        return restore_deployments()


def restore_deployments() -> list[Deployment]:
    """Places again what is out of service, the oldest first, as far as chips are free. Inside a locked transaction."""
    waiting = Deployment.objects.filter(state=State.OUT_OF_SERVICE, chips__gt=0).order_by("pk")
    return [deployment for deployment in waiting if _restore(deployment)]


def _restore(deployment: Deployment) -> bool:
    is_new = deployment.in_service_at is None
    if is_new and deployment.model.deployments.filter(state=State.LOADING).exists():
        return False
    try:
        placement = lpu_backend.place_instance(lock_inventory(), deployment.chips, may_use_spares=not is_new)
    except lpu_backend.PlacementError:
        return False
    take_chips(deployment, placement)
    state = State.LOADING if is_new else State.SERVING
    Deployment.objects.filter(pk=deployment.pk).update(state=state, reason="", generation=F("generation") + 1)
    deployment.refresh_from_db()
    return True


def _replace(deployment: Deployment, placement: tuple[int, ...]) -> tuple[int, ...]:
    """Its chips are free already: what it keeps, it takes again."""
    Deployment.objects.filter(pk=deployment.pk).update(generation=F("generation") + 1)
    try:
        moved = lpu_backend.move_instance(lock_inventory(), placement)
    except lpu_backend.NoSpareError as error:
        _put_out_of_service(deployment, str(error))
        return ()
    take_chips(deployment, moved)
    return moved


def _put_out_of_service(deployment: Deployment, reason: str) -> None:
    """It comes back with a repair, unless it was to end anyway or had not begun."""
    is_serving = deployment.state == State.SERVING
    ended = {} if is_serving else {"ended_at": timezone.now()}
    state = State.OUT_OF_SERVICE if is_serving else State.FAILED
    Deployment.objects.filter(pk=deployment.pk).update(state=state, reason=reason[:500], **ended)


def _get_chip(number: int) -> ClusterChip:
    chip = ClusterChip.objects.select_related("deployment").filter(pk=number).first()
    if chip is None:
        raise DeploymentError(f"The cluster has no chip {number}; it has {ClusterChip.objects.count():,}, from 0 on.")
    return chip
