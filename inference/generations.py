"""The number of a deployment's placement, in Redis, where the worker of a job sees it with every token that it writes.

The row decides; what Redis lost is written again by the workers' next look at the rows.
"""

import logging

from redis.exceptions import RedisError

from inference.models import Deployment
from inference.redis_clients import get_redis, redis_key

logger = logging.getLogger(__name__)

KEEP_S = 3600


def generation_key(deployment_id: int) -> str:
    return redis_key("deployment", str(deployment_id), "generation")


def publish_generation(deployment: Deployment) -> None:
    """Tells the workers of running jobs. Without Redis they learn it when it is back."""
    try:
        get_redis().set(generation_key(deployment.pk), deployment.generation, ex=KEEP_S)
    except RedisError as error:
        logger.warning("Placement of deployment %d: %s", deployment.pk, type(error).__name__)
