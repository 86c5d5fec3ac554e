"""What a compiled model asks of the cluster. `fit_model` is the one place that says so."""

from dataclasses import dataclass
from pathlib import Path

from lpu_backend.chip import GROQCHIP1
from lpu_backend.cluster.placement import PlacementError, check_chip_count
from lpu_backend.compiler.errors import CompileError
from lpu_backend.config import read_graph
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.serving_program import MODE_SCHEDULE, divide_served_model
from lpu_backend.tensors import check_weight_files, list_weight_files
from lpu_backend.tokenizer import read_tokenizer


@dataclass(frozen=True, slots=True)
class ModelFit:
    """What one instance takes: chips, the most bytes that one of them holds with one request's keys and values, and
    the requests whose keys and values it has room for at once."""

    chips: int
    minimum_chips: int
    bytes_per_chip: int
    max_batch: int
    context_window_tokens: int
    mode: str


def fit_model(folder: Path, chips: int | None = None) -> ModelFit:
    """Checks all of a checkpoint folder but its weights' values, and fits it to `chips`, or to the fewest that hold it.

    Raises CheckpointError for a folder that cannot be served, PlacementError for a number of chips that cannot be.
    """
    graph = read_graph(folder)
    tokenizer = read_tokenizer(folder)
    check_weight_files(list_weight_files(folder), graph)
    return fit_graph(graph, tokenizer.context_window, chips)


def fit_graph(graph: ModelGraph, context_window_tokens: int, chips: int | None) -> ModelFit:
    """As `fit_model`, from the graph alone."""
    if chips is not None:
        check_chip_count(chips, GROQCHIP1.chips_per_node)
    try:
        division, minimum_chips = divide_served_model(graph, chips)
    except CompileError as error:
        raise PlacementError(str(error)) from None
    return ModelFit(
        chips=division.chips,
        minimum_chips=minimum_chips,
        bytes_per_chip=max(stage.memory.used_bytes for stage in division.stages),
        max_batch=division.caches,
        context_window_tokens=context_window_tokens,
        mode=MODE_SCHEDULE,
    )
