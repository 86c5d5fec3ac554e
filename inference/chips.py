"""The cluster's chips as rows. Whatever changes them holds all of them locked, and takes a chip by one conditional
UPDATE: two deployments at once can never get the same one."""

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

import lpu_backend
from inference.database import write_turn
from inference.exceptions import DeploymentError
from inference.models import ClusterChip, Deployment

BATCH = 500


def get_topology() -> lpu_backend.Topology:
    """How the chips are joined. Raises TopologyError when LPU_CLUSTER_CHIPS is no cluster's size."""
    return lpu_backend.build_topology(settings.CLUSTER_CHIPS)


def read_inventory() -> lpu_backend.Inventory:
    """The cluster as it stands. Raises TopologyError when LPU_CLUSTER_CHIPS is no cluster's size."""
    if not ClusterChip.objects.exists():
        with write_turn(), transaction.atomic():
            return lock_inventory()
    return _as_inventory(ClusterChip.objects.values_list("number", "failed_at", "deployment_id"))


def lock_inventory() -> lpu_backend.Inventory:
    """The same, inside a transaction that alone may change it until it ends. (SQLite's IMMEDIATE ones are alone.)"""
    _sync_chips()
    locked = ClusterChip.objects.select_for_update().order_by("number")
    return _as_inventory(locked.values_list("number", "failed_at", "deployment_id"))


def take_chips(deployment: Deployment, placement: Sequence[int]) -> None:
    """Gives free, working chips to a deployment, in its program's order. DeploymentError if one is neither."""
    free = ClusterChip.objects.filter(number__in=placement, deployment=None, failed_at=None)
    if free.update(deployment=deployment, position=None) != len(placement):
        raise DeploymentError("A chip of this placement was taken or failed meanwhile; nothing was changed.")
    chips = [ClusterChip(number=number, position=position) for position, number in enumerate(placement)]
    ClusterChip.objects.bulk_update(chips, ["position"], batch_size=BATCH)


def free_chips(deployment: Deployment) -> int:
    """Takes all chips from a deployment; how many they were."""
    return ClusterChip.objects.filter(deployment=deployment).update(deployment=None, position=None)


def list_placement(deployment: Deployment) -> tuple[int, ...]:
    """The deployment's chips in its program's order."""
    held = ClusterChip.objects.filter(deployment=deployment).order_by("position")
    return tuple(held.values_list("number", flat=True))


def _sync_chips() -> None:
    """As many rows as the settings say; a chip beyond them goes once nobody holds it."""
    count = get_topology().chips
    if ClusterChip.objects.filter(number__lt=count).count() < count:
        rows = (ClusterChip(number=number) for number in range(count))
        ClusterChip.objects.bulk_create(rows, ignore_conflicts=True, batch_size=BATCH)
    ClusterChip.objects.filter(number__gte=count, deployment=None).delete()


def _as_inventory(rows: object) -> lpu_backend.Inventory:
    topology = get_topology()
    failed, taken = set[int](), dict[int, int]()
    for number, failed_at, deployment_id in rows:  # type: ignore[attr-defined]
        if failed_at is not None:
            failed.add(number)
        if deployment_id is not None:
            taken[number] = deployment_id
    return lpu_backend.Inventory(topology, frozenset(failed), taken)
