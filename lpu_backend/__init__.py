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
from lpu_backend.compiler.errors import CompileError
from lpu_backend.config import read_graph
from lpu_backend.constraints import check_constraint
from lpu_backend.exceptions import (
    ChatTemplateError,
    CheckpointError,
    ConstraintError,
    LpuBackendError,
    PromptError,
    SamplingParamsError,
)
from lpu_backend.network.topology import Topology, TopologyError, build_topology
from lpu_backend.null_model import NULL_FIT, NULL_MODEL_ID, NullModel, NullTokenizer
from lpu_backend.serving_program import Report, ServingProgram
from lpu_backend.tokenizer import read_tokenizer
from lpu_backend.tool_calls.formats import ToolFormat
from lpu_backend.tool_calls.grammar import constrain_arguments, constrain_calls
from lpu_backend.tool_calls.reading import CallReading, ToolCall, ToolCallReader
from lpu_backend.types import (
    ChatModel,
    ChatTokenizer,
    Constraint,
    EmulatedTime,
    Engine,
    EngineLoad,
    Generation,
    Produced,
    SamplingParams,
    Step,
    StepLogprobs,
    TokenLogprob,
)

__all__ = [
    "GROQCHIP1",
    "NULL_FIT",
    "NULL_MODEL_ID",
    "CallReading",
    "ChatModel",
    "ChatTemplateError",
    "ChatTokenizer",
    "CheckpointError",
    "ChipSpec",
    "CompileError",
    "Constraint",
    "ConstraintError",
    "EmulatedTime",
    "Engine",
    "EngineLoad",
    "Generation",
    "Inventory",
    "LpuBackendError",
    "ModelFit",
    "NoRoomError",
    "NoSpareError",
    "PlacementError",
    "Produced",
    "PromptError",
    "SamplingParams",
    "SamplingParamsError",
    "Step",
    "StepLogprobs",
    "TokenLogprob",
    "ToolCall",
    "ToolCallReader",
    "ToolFormat",
    "Topology",
    "TopologyError",
    "build_topology",
    "check_constraint",
    "compile_times",
    "constrain_arguments",
    "constrain_calls",
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


def load_model(folder: Path, chips: int | None = None, programs: Path | None = None, threads: int = 1) -> ChatModel:
    """A checkpoint folder, ready to generate, on the fewest chips that hold it if none are named.

    Passes run on so many threads: more than one pay only where a process has as many cores to itself. With a folder of
    `programs`, what is compiled for it is looked up and kept there, and is there once this returns.
    Raises CheckpointError if anything in it cannot be served, CompileError if the chips are too few.
    """
    model = read_model(folder, chips=chips, programs=programs, threads=threads)
    if programs is not None:
        model.program.prepare()
    return model


def compile_times(folder: Path, chips: int, programs: Path, report: Report | None = None) -> None:
    """Compiles what `load_model` would, if it is not there yet; `report` is told how far it is.

    Raises CheckpointError, CompileError.
    """
    ServingProgram("", read_graph(folder), chips, folder, programs).prepare(report)


def null_tokenizer() -> ChatTokenizer:
    """The tokenizer of `null-16`."""
    return NullTokenizer()


def null_model() -> ChatModel:
    """The model `null-16`, for measuring the path."""
    return NullModel()
