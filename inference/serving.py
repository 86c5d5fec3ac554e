"""What a worker serves, read from the rows again and again: deployments are loaded and put into service, queues are
consumed or left, and what has ended is unloaded, all while jobs run."""

import logging
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from inference.deployments import activate_deployment, adopt_model, fail_deployment, finish_draining
from inference.engine_room import get_room
from inference.exceptions import ProgramChangedError
from inference.generations import publish_generation
from inference.models import Deployment, LanguageModel
from inference.queues import queue_of
from inference.registry import fit_model, holds_model, is_loaded, load_model, unload_all_but
from inference.selectors import list_models
from lpu_backend import CheckpointError, LpuBackendError, PlacementError

logger = logging.getLogger(__name__)

State = Deployment.State
_refused: set[int] = set()


def serve_deployments() -> set[str]:
    """Brings this process to what the rows say; the queues that it is to consume."""
    for model in _served(list_models()):
        if model.deployment is None:
            _adopt(model)
    finish_draining()
    live = _list_live()
    unload_all_but(live)
    get_room().keep_engines(holds_model)
    for deployment in live:
        publish_generation(deployment)
        if deployment.state != State.OUT_OF_SERVICE and deployment.pk not in _refused and not is_loaded(deployment):
            _load(deployment)
        elif deployment.state == State.LOADING:
            _activate(deployment)
    names = {model.pk for model in _served(list_models())} | {deployment.model_id for deployment in live}
    return {queue_of(name) for name in names}


def _served(models: Iterable[LanguageModel]) -> list[LanguageModel]:
    return [model for model in models if _is_served(model.pk)]


def _is_served(model_id: str) -> bool:
    return not settings.SERVED_MODELS or model_id in settings.SERVED_MODELS


def _list_live() -> list[Deployment]:
    live = Deployment.objects.filter(state__in=Deployment.LIVE).order_by("pk")
    return [deployment for deployment in live if _is_served(deployment.model_id)]


def _adopt(model: LanguageModel) -> None:
    """From the folder that it had before it was retired, else from the one of its name."""
    if model.deployments.filter(state=State.LOADING).exists():
        return
    last = model.deployments.filter(state=State.RETIRED).order_by("-pk").first()
    folder = Path(last.path) if last else settings.MODELS_DIR / model.pk
    try:
        adopt_model(model_id=model.pk, folder=folder, fit=fit_model(model.pk, folder))
    except (CheckpointError, PlacementError) as error:
        logger.error("Model %s cannot be served: %s", model.pk, error)
        adopt_model(model_id=model.pk, folder=folder, fit=None, reason=str(error))


def _load(deployment: Deployment) -> None:
    """Loads it; where that fails, whoever waits for it is told, and its jobs fail unbilled instead of waiting."""
    try:
        load_model(deployment.model_id, deployment)
    except (LpuBackendError, ProgramChangedError, MemoryError) as error:
        reason = str(error) or "this machine has not enough memory for it"
        logger.error("Deployment %s cannot be served: %s", deployment, reason)
        _refused.add(deployment.pk)
        fail_deployment(deployment_id=deployment.pk, reason=reason)
        return
    if deployment.state == State.LOADING:
        _activate(deployment)


def _activate(deployment: Deployment) -> None:
    program_hash = load_model(deployment.model_id, deployment).program_hash
    activate_deployment(deployment_id=deployment.pk, program_hash=program_hash)
