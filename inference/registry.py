"""The models of this process: tokenizers where prompts are counted, weights where they run. Loaded once each.

Each is loaded under a lock of its own: while one is read, the others go on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from django.conf import settings

import lpu_backend
from inference.exceptions import ProgramChangedError
from inference.models import Deployment
from lpu_backend import ChatModel, ChatTokenizer

Loaded = TypeVar("Loaded")


class Source(NamedTuple):
    """Where a model comes from. Two deployments of one folder are two: its files may have changed in between."""

    model_id: str
    folder: Path
    chips: int | None
    deployment_id: int | None


class _Shelf(Generic[Loaded]):
    def __init__(self, read: Callable[[Source], Loaded]) -> None:
        self._read = read
        self._loaded: dict[Source, Loaded] = {}
        self._locks: defaultdict[Source, Lock] = defaultdict(Lock)

    def get(self, source: Source) -> Loaded:
        found = self._loaded.get(source)
        if found is not None:
            return found
        with self._locks[source]:
            if source not in self._loaded:
                self._loaded[source] = self._read(source)
            return self._loaded[source]

    def holds(self, source: Source) -> bool:
        return source in self._loaded

    def holds_loaded(self, loaded: Loaded) -> bool:
        return any(each is loaded for each in list(self._loaded.values()))

    def drop_all_but(self, sources: Iterable[Source]) -> None:
        """Of what deployments loaded; a model without one stays."""
        for source in self._loaded.keys() - set(sources):
            if source.deployment_id is not None:
                self._loaded.pop(source, None)


def _read_tokenizer(source: Source) -> ChatTokenizer:
    if source.model_id == lpu_backend.NULL_MODEL_ID:
        return lpu_backend.null_tokenizer()
    return lpu_backend.load_tokenizer(source.folder)


def _read_model(source: Source) -> ChatModel:
    if source.model_id == lpu_backend.NULL_MODEL_ID:
        return lpu_backend.null_model()
    return lpu_backend.load_model(source.folder, source.chips, settings.PROGRAMS_DIR)


_tokenizers = _Shelf(_read_tokenizer)
_models = _Shelf(_read_model)


def load_tokenizer(model_id: str, deployment: Deployment | None = None) -> ChatTokenizer:
    """The tokenizer of a model, without its weights; CheckpointError if the folder cannot be served."""
    return _tokenizers.get(source_of(model_id, deployment))


def load_model(model_id: str, deployment: Deployment | None = None) -> ChatModel:
    """The model itself. Raises CheckpointError if the folder cannot be served, ProgramChangedError if what lies there
    is no longer the program that was put into service."""
    model = _models.get(source_of(model_id, deployment))
    if deployment and deployment.program_hash not in ("", model.program_hash):
        raise ProgramChangedError(f"{deployment.path} no longer holds the program of {deployment}.")
    return model


def is_loaded(deployment: Deployment) -> bool:
    return _models.holds(source_of(deployment.model_id, deployment))


def holds_model(model: ChatModel) -> bool:
    """Whether it is one of those that are loaded still."""
    return _models.holds_loaded(model)


def unload_all_but(deployments: Iterable[Deployment]) -> None:
    """Drops what other deployments loaded; a job that still runs on one keeps it until it ends."""
    _models.drop_all_but(source_of(deployment.model_id, deployment) for deployment in deployments)


def fit_model(model_id: str, folder: Path, chips: int | None = None) -> lpu_backend.ModelFit:
    """What the model asks of the cluster. Raises CheckpointError, PlacementError."""
    if model_id == lpu_backend.NULL_MODEL_ID:
        return lpu_backend.NULL_FIT
    return lpu_backend.fit_model(folder, chips)


def compile_model(model_id: str, folder: Path, chips: int, report: Callable[[int, int], None]) -> None:
    """The schedules of a model, kept where workers look them up. Raises CheckpointError, CompileError."""
    if model_id != lpu_backend.NULL_MODEL_ID:
        lpu_backend.compile_times(folder, chips, settings.PROGRAMS_DIR, report)


def source_of(model_id: str, deployment: Deployment | None = None) -> Source:
    """Without a deployment: the folder of the model's name under the models directory."""
    if deployment is None:
        return Source(model_id, settings.MODELS_DIR / model_id, None, None)
    return Source(model_id, Path(deployment.path), deployment.chips, deployment.pk)
