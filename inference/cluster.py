"""Public reads of the cluster: what it has, what lies on it, and since when a chip has failed."""

from typing import Any

from inference.chips import get_topology, list_placement, read_inventory
from inference.dispatch import list_depths
from inference.models import Deployment


def describe_cluster() -> dict[str, Any]:
    """Counts of chips, nodes and racks, the chips that failed, every deployment that is live, and how many jobs wait
    for each model by service tier, as JSON values."""
    inventory = read_inventory()
    topology = inventory.topology
    nodes = range(topology.nodes)
    live = Deployment.objects.filter(state__in=Deployment.LIVE).select_related("model").order_by("pk")
    return {
        "chips": topology.chips,
        "nodes": topology.nodes,
        "racks": topology.racks,
        "spare_nodes": inventory.list_nodes(are_spares=True),
        "free_chips": sum(len(inventory.list_free(node)) for node in inventory.list_nodes(are_spares=False)),
        "free_spare_nodes": [node for node in nodes if inventory.is_spare(node) and inventory.is_whole_and_free(node)],
        "failed_chips": sorted(inventory.failed),
        "deployments": [describe_deployment(deployment) for deployment in live],
        "waiting_jobs": list_depths(sorted({deployment.model_id for deployment in live})),
    }


def describe_deployment(deployment: Deployment) -> dict[str, Any]:
    """One deployment, and which chips of which nodes and racks it has, as JSON values."""
    topology = get_topology()
    placement = list_placement(deployment)
    return {
        "deployment": deployment.pk,
        "model": deployment.model_id,
        "state": deployment.state,
        "reason": deployment.reason,
        "path": deployment.path,
        "pacing": deployment.pacing,
        "program_hash": deployment.program_hash,
        "chips": deployment.chips,
        "minimum_chips": deployment.minimum_chips,
        "bytes_per_chip": deployment.bytes_per_chip,
        "max_batch": deployment.max_batch,
        "mode": deployment.timing_mode,
        "generation": deployment.generation,
        "placement": list(placement),
        "nodes": sorted({topology.node_of(chip) for chip in placement}),
        "racks": sorted({topology.rack_of(chip) for chip in placement}),
    }
