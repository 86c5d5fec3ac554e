"""The emulated LPU: loads a checkpoint, computes its tokens, and says how long the hardware would have taken.

These names are the whole public surface; the product imports nothing else from here.
"""

from pathlib import Path

from lpu_backend.checkpoint_model import read_model
from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.cluster import (
    Inventory,
    ModelFit,
    NoRoomError,
    NoSpareError,
    PlacementError,
    fit_model,
    move_instance,
    place_instance,
)
from lpu_backend.exceptions import (
    ChatTemplateError,
    CheckpointError,
    LpuBackendError,
    PromptError,
    SamplingParamsError,
)
from lpu_backend.network.topology import Topology, TopologyError, build_topology
from lpu_backend.null_model import NULL_FIT, NULL_MODEL_ID, NullModel, NullTokenizer
from lpu_backend.tokenizer import read_tokenizer
from lpu_backend.types import ChatModel, ChatTokenizer, EmulatedTime, SamplingParams, Step

__all__ = [
    "GROQCHIP1",
    "NULL_FIT",
    "NULL_MODEL_ID",
    "ChatModel",
    "ChatTemplateError",
    "ChatTokenizer",
    "CheckpointError",
    "ChipSpec",
    "EmulatedTime",
    "Inventory",
    "LpuBackendError",
    "ModelFit",
    "NoRoomError",
    "NoSpareError",
    "PlacementError",
    "PromptError",
    "SamplingParams",
    "SamplingParamsError",
    "Step",
    "Topology",
    "TopologyError",
    "build_topology",
    "fit_model",
    "load_model",
    "load_tokenizer",
    "move_instance",
    "null_model",
    "null_tokenizer",
    "place_instance",
]


def load_tokenizer(folder: Path) -> ChatTokenizer:
    """Tokenizer and chat template of a checkpoint folder, without its weights. Raises CheckpointError."""
    return read_tokenizer(folder)


def load_model(folder: Path, chips: int | None = None) -> ChatModel:
    """A checkpoint folder, ready to generate, on the fewest chips that hold it if none are named.

    Raises CheckpointError if anything in it cannot be served.
    """
    return read_model(folder, chips=chips)


def null_tokenizer() -> ChatTokenizer:
    """The tokenizer of `null-16`."""
    return NullTokenizer()


def null_model() -> ChatModel:
    """The model `null-16`, for measuring the path."""
    return NullModel()
