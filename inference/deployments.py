"""Public writes of the cluster: a deployment's life, from its placement to the end of its last job.

    loading -> serving -> draining -> retired          failed: it could not be loaded, or ended with its chips
                 |  ^
                 v  |  a chip failed and nothing could stand in; a repair, or chips set free, bring it back
           out_of_service

A worker that has loaded a deployment puts it into service; the one that served the model before drains.
"""

import re
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

import lpu_backend
from billing.exceptions import NoPriceError
from billing.selectors import get_price
from billing.services import set_price
from billing.types import PriceQuote
from inference.chips import free_chips, lock_inventory, take_chips
from inference.database import write_turn
from inference.exceptions import DeploymentError
from inference.models import Deployment, Job, LanguageModel
from inference.restoration import restore_deployments

State = Deployment.State
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
# A call that found the old deployment just before it began to drain has written its job by then.
ADMITTING = timedelta(seconds=2)
DEFAULT_COMPLETION_TOKENS = 512


def check_model_id(model_id: str) -> None:
    """Raises DeploymentError unless a new deployment may have this name."""
    if not MODEL_ID.fullmatch(model_id):
        raise DeploymentError(f"{model_id!r} is no model id: letters, digits, `.`, `_`, `-` and `/`, at most 100.")
    if model_id == lpu_backend.NULL_MODEL_ID:
        raise DeploymentError(f"{model_id} measures the path and is no checkpoint: LPU_NULL_MODEL=1 serves it.")


def start_deployment(
    *,
    model_id: str,
    folder: Path,
    fit: lpu_backend.ModelFit,
    pacing: str = Deployment.Pacing.HOST,
    price: PriceQuote | None = None,
) -> Deployment:
    """Places a checkpoint that was checked; workers load it and put it into service. All of it or nothing.

    A model without a price gets `price`, else the default model's. Raises DeploymentError, NoRoomError.
    """
    check_model_id(model_id)
    try:
        with write_turn(), transaction.atomic():
            inventory = lock_inventory()
            placement = lpu_backend.place_instance(inventory, fit.chips)
            model = _get_or_create_model(model_id, fit)
            _ensure_price(model_id, price)
            deployment = _create_deployment(model, folder, fit, pacing=pacing)
            take_chips(deployment, placement)
    except IntegrityError:
        raise DeploymentError(f"{model_id} is being deployed already.") from None
    return deployment


def adopt_model(*, model_id: str, folder: Path, fit: lpu_backend.ModelFit | None, reason: str = "") -> None:
    """A deployment for a model that has none but may be named by requests. Where it cannot be served (no `fit`) or
    placed, it is out of service with a reason."""
    with write_turn(), transaction.atomic():
        inventory = lock_inventory()
        model = LanguageModel.objects.filter(pk=model_id, is_active=True, deployment=None).first()
        if model is None or model.deployments.filter(state=State.LOADING).exists():
            return
        if fit is None:
            _point_to(model, _create_deployment(model, folder, None, state=State.FAILED, reason=reason))
            return
        try:
            placement = lpu_backend.place_instance(inventory, fit.chips)
        except lpu_backend.PlacementError as error:
            unplaced = _create_deployment(model, folder, fit, state=State.OUT_OF_SERVICE, reason=str(error))
            _point_to(model, unplaced)
            return
        deployment = _create_deployment(model, folder, fit, context_window=model.context_window)
        take_chips(deployment, placement)


def activate_deployment(*, deployment_id: int, program_hash: str) -> bool:
    """A worker has loaded it: from now on it takes the model's calls. False if it is not waiting for that."""
    with write_turn(), transaction.atomic():
        lock_inventory()
        now = timezone.now()
        waiting = Deployment.objects.filter(pk=deployment_id, state=State.LOADING)
        if not waiting.update(state=State.SERVING, program_hash=program_hash, in_service_at=now, reason=""):
            return False
        deployment = Deployment.objects.select_related("model").get(pk=deployment_id)
        _drain(deployment.model, but=deployment)
        deployment.model.context_window = deployment.context_window
        _point_to(deployment.model, deployment)
    return True


def fail_deployment(*, deployment_id: int, reason: str) -> bool:
    """It could not be loaded: its chips are free again. False if it is not waiting for that."""
    with write_turn(), transaction.atomic():
        lock_inventory()
        waiting = Deployment.objects.filter(pk=deployment_id, state=State.LOADING)
        if not waiting.update(state=State.FAILED, reason=reason[:500], ended_at=timezone.now()):
            return False
        free_chips(Deployment(pk=deployment_id))
        restore_deployments()
    return True


def retire_model(*, model_id: str) -> None:
    """No new calls from now on; what was admitted ends, and then the chips are free. Raises DeploymentError."""
    with write_turn(), transaction.atomic():
        lock_inventory()
        model = LanguageModel.objects.filter(pk=model_id).first()
        if model is None:
            raise DeploymentError(f"There is no model {model_id}.")
        loading = model.deployments.filter(state=State.LOADING)
        if not model.is_active and not loading.exists():
            raise DeploymentError(f"{model_id} is not in service.")
        for deployment in loading:
            _end(deployment, State.FAILED, "It was retired while it was loaded.")
        _drain(model, but=None)
        LanguageModel.objects.filter(pk=model_id).update(is_active=False, deployment=None)


def finish_draining() -> int:
    """Retires every draining deployment whose last job has ended; how many those were."""
    since = timezone.now() - ADMITTING
    draining = Deployment.objects.filter(state=State.DRAINING, draining_at__lte=since)
    return sum(_retire_if_idle(deployment) for deployment in draining)


def set_pacing(*, deployment: Deployment, pacing: str) -> None:
    """For jobs that begin from now on."""
    Deployment.objects.filter(pk=deployment.pk).update(pacing=pacing)


def _retire_if_idle(deployment: Deployment) -> bool:
    if Job.objects.filter(deployment=deployment, state__in=Job.ACTIVE).exists():
        return False
    with write_turn(), transaction.atomic():
        lock_inventory()
        if not Deployment.objects.filter(pk=deployment.pk, state=State.DRAINING).exists():
            return False
        _end(deployment, State.RETIRED)
        restore_deployments()
    return True


def _drain(model: LanguageModel, *, but: Deployment | None) -> None:
    """The model's other deployments end what they began; one without chips has nothing to end."""
    others = model.deployments.exclude(pk=but.pk) if but else model.deployments.all()
    others.filter(state=State.SERVING).update(state=State.DRAINING, draining_at=timezone.now())
    for deployment in others.filter(state=State.OUT_OF_SERVICE):
        _end(deployment, State.RETIRED)


def _end(deployment: Deployment, state: Deployment.State, reason: str = "") -> None:
    Deployment.objects.filter(pk=deployment.pk).update(state=state, reason=reason, ended_at=timezone.now())
    free_chips(deployment)


def _point_to(model: LanguageModel, deployment: Deployment) -> None:
    model.deployment, model.is_active = deployment, True
    model.save(update_fields=["deployment", "is_active", "context_window"])


def _get_or_create_model(model_id: str, fit: lpu_backend.ModelFit) -> LanguageModel:
    defaults = {
        "display_name": model_id,
        "context_window": fit.context_window_tokens,
        "default_max_completion_tokens": min(DEFAULT_COMPLETION_TOKENS, fit.context_window_tokens),
        "is_active": False,
    }
    return LanguageModel.objects.get_or_create(pk=model_id, defaults=defaults)[0]


def _create_deployment(
    model: LanguageModel, folder: Path, fit: lpu_backend.ModelFit | None, **fields: str | int
) -> Deployment:
    figures: dict[str, str | int] = {
        "chips": fit.chips if fit else 0,
        "minimum_chips": fit.minimum_chips if fit else 0,
        "bytes_per_chip": fit.bytes_per_chip if fit else 0,
        "max_batch": fit.max_batch if fit else 0,
        "context_window": fit.context_window_tokens if fit else 0,
        "timing_mode": fit.mode if fit else "",
    }
    if "reason" in fields:
        fields["reason"] = str(fields["reason"])[:500]
    return Deployment.objects.create(model=model, path=str(folder), **{**figures, **fields})


def _ensure_price(model_id: str, price: PriceQuote | None) -> None:
    if price is not None:
        set_price(model=model_id, input_pusd=price.input_pusd, output_pusd=price.output_pusd)
        return
    try:
        get_price(model_id)
    except NoPriceError:
        try:
            usual = get_price(settings.DEFAULT_MODEL)
        except NoPriceError:
            message = f"{model_id} has no price, nor has {settings.DEFAULT_MODEL}: give one for input and output."
            raise DeploymentError(message) from None
        set_price(model=model_id, input_pusd=usual.input_pusd, output_pusd=usual.output_pusd)
