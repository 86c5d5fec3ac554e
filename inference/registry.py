"""The models of this process: tokenizers where prompts are counted, weights where they run. Loaded once each."""

from functools import cache
from threading import Lock

from django.conf import settings

import lpu_backend
from lpu_backend import ChatModel, ChatTokenizer

_loading = Lock()


def load_tokenizer(model_id: str) -> ChatTokenizer:
    """The tokenizer of a model, without its weights; CheckpointError if the folder cannot be served."""
    with _loading:
        return _tokenizer(model_id)


def load_model(model_id: str) -> ChatModel:
    """The model itself; CheckpointError if the folder cannot be served."""
    with _loading:
        return _model(model_id)


@cache
def _tokenizer(model_id: str) -> ChatTokenizer:
    if model_id == lpu_backend.NULL_MODEL_ID:
        return lpu_backend.null_tokenizer()
    return lpu_backend.load_tokenizer(settings.MODELS_DIR / model_id)


@cache
def _model(model_id: str) -> ChatModel:
    if model_id == lpu_backend.NULL_MODEL_ID:
        return lpu_backend.null_model()
    return lpu_backend.load_model(settings.MODELS_DIR / model_id)
