"""What Django checks before it migrates or a worker starts."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from inference.chips import get_topology
from lpu_backend import TopologyError


@register
def check_cluster_size(**kwargs: Any) -> list[CheckMessage]:
    """LPU_CLUSTER_CHIPS is the size of a cluster that can be cabled."""
    try:
        get_topology()
    except TopologyError as error:
        return [Error(f"LPU_CLUSTER_CHIPS: {error}", id="inference.E001")]
    return []
