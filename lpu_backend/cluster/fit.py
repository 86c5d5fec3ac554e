"""What a compiled model asks of the cluster. `fit_model` is the one place that says so.

Its figures are those of `timing`: a share of the SRAM for weights. A compiled program's own take their place here.
"""

from dataclasses import dataclass
from pathlib import Path

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.cluster.placement import PlacementError, check_chip_count
from lpu_backend.config import read_graph
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.tensors import check_weight_files, list_weight_files
from lpu_backend.timing import MODE_ESTIMATE, ModelShape, count_chips, shape_of
from lpu_backend.tokenizer import read_tokenizer

# Assumed: of the SRAM that the weights leave, half holds keys and values; the rest activations and instructions.
KV_SHARE_OF_REST_PERCENT = 50


@dataclass(frozen=True, slots=True)
class ModelFit:
    """What one instance takes: chips, bytes of weights on each, and how many requests it computes at once at most."""

    chips: int
    minimum_chips: int
    bytes_per_chip: int
    max_batch: int
    context_window_tokens: int
    mode: str


def fit_model(folder: Path, chips: int | None = None, chip: ChipSpec = GROQCHIP1) -> ModelFit:
    """Checks all of a checkpoint folder but its weights' values, and fits it to `chips`, or to the fewest that hold it.

    Raises CheckpointError for a folder that cannot be served, PlacementError for a number of chips that cannot be.
    """
    graph = read_graph(folder)
    tokenizer = read_tokenizer(folder)
    check_weight_files(list_weight_files(folder), graph)
    return fit_graph(graph, tokenizer.context_window, chips, chip)


def fit_graph(graph: ModelGraph, context_window_tokens: int, chips: int | None, chip: ChipSpec) -> ModelFit:
    """As `fit_model`, from the graph alone."""
    shape = shape_of(graph)
    minimum_chips = count_chips(shape, chip)
    chosen = minimum_chips if chips is None else chips
    check_chip_count(chosen, chip.chips_per_node)
    if chosen < minimum_chips:
        raise PlacementError(f"the model needs at least {minimum_chips:,} chips, not {chosen:,}")
    return ModelFit(
        chips=chosen,
        minimum_chips=minimum_chips,
        bytes_per_chip=-(-shape.weight_bytes // chosen),
        max_batch=_count_batch(shape, chosen * chip.sram_bytes, context_window_tokens),
        context_window_tokens=context_window_tokens,
        mode=MODE_ESTIMATE,
    )


def _count_batch(shape: ModelShape, sram_bytes: int, context_window_tokens: int) -> int:
    """Requests whose keys and values fit at once, each as long as the context window; at least one is computed."""
    kv_bytes = (sram_bytes - shape.weight_bytes) * KV_SHARE_OF_REST_PERCENT // 100
    return max(1, kv_bytes // (shape.kv_bytes_per_token * context_window_tokens))
