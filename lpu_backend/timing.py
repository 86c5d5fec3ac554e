"""Emulated time, first estimate: a formula over published figures, not a compiled schedule.

`TimingModel` is the seam: a compiled schedule takes the place of `estimate_time` by having the same signature.
The formula, all in whole cycles and bytes, for int8 weights and fp16 keys and values:

  chips   = ceil(weight bytes / (SRAM x WEIGHT_SHARE_OF_SRAM)), then whole nodes once it is more than one
  layer   = max(weight bytes of the layer / (width x stream bytes a cycle), tokens x MACs / (width x MACs a cycle))
            + overhead, where width is the chips that share a layer: those of one node at most
  head    = the same for the output matrix, for one token
  answer  = one pass over the prompt + one pass per further token + keys and values read by the latter

The runtime's own numerics (ADR 0006) have int8 keys and values and two passes of each activation; a schedule compiled
for them will say what that takes.

It is coarse by intent. Where the true time is known (see the two overheads) it is within some tens of percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lpu_backend.chip import ChipSpec
from lpu_backend.graph.nodes import Attend, ModelGraph, Node
from lpu_backend.graph.tensors import list_matrices, list_nodes

MODE_ESTIMATE = "estimate"

WEIGHT_BYTES = 1
KV_BYTES = 2

# Derived: Llama-2-70B, 69 GB in int8, is served from 576 chips of 230.7 MB; the rest holds keys, values, activations
# and instructions. That other models leave the same share is an assumption.
WEIGHT_SHARE_OF_SRAM_PERCENT = 52
# Derived: BERT-base, batch 1, takes 130 us in 12 layers on one chip: 9,750 cycles a layer at 900 MHz. That a decoder
# layer of one token spends as much outside its matrices is an assumption, on the slow side.
ONE_CHIP_LAYER_OVERHEAD_CYCLES = 9_750
# Derived: dense models on many chips take about 42.5 us a layer whatever their size, 38,250 cycles at 900 MHz, two
# all-reduces included. Taken as overhead beside the streaming of weights, which is the smaller part: an assumption.
MANY_CHIP_LAYER_OVERHEAD_CYCLES = 38_250


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What the formula needs of a model: counts of weights, and bytes of keys and values a token."""

    layers: int
    layer_weights: int
    head_weights: int
    embedding_weights: int
    kv_bytes_per_token: int

    @property
    def weight_bytes(self) -> int:
        return (self.layers * self.layer_weights + self.head_weights + self.embedding_weights) * WEIGHT_BYTES


@dataclass(frozen=True, slots=True)
class Timing:
    chips: int
    cycles: int
    mode: str


class TimingModel(Protocol):
    """Cycles of one request, alone and with a cold cache. Deterministic."""

    def __call__(
        self, shape: ModelShape, chip: ChipSpec, *, prompt_tokens: int, completion_tokens: int, chips: int | None = None
    ) -> Timing:
        """Token counts of at least 1 to chips and cycles; on the fewest chips that hold the model if none are named."""


def shape_of(graph: ModelGraph) -> ModelShape:
    """Count a model's matrices, of experts all; norms and biases are left out (under 0.1 %).

    Layers are taken to be alike: where they differ, each counts as their mean.
    """
    head = [matrix for node in graph.head for matrix in list_matrices(node)]
    kv_channels = sum(node.kv_heads * node.head_dim for node in list_nodes(graph) if isinstance(node, Attend))
    is_tied = any(matrix.weight == graph.embed.table for matrix in head)
    return ModelShape(
        layers=len(graph.layers),
        layer_weights=_ceil(sum(_count_weights(nodes) for nodes in graph.layers), len(graph.layers)),
        head_weights=_count_weights(graph.head),
        embedding_weights=0 if is_tied else graph.vocabulary * graph.hidden,
        kv_bytes_per_token=2 * kv_channels * KV_BYTES,
    )


def _count_weights(nodes: Sequence[Node]) -> int:
    return sum(matrix.inputs * matrix.outputs for node in nodes for matrix in list_matrices(node))


def estimate_time(
    shape: ModelShape, chip: ChipSpec, *, prompt_tokens: int, completion_tokens: int, chips: int | None = None
) -> Timing:
    """The formula at the top of this file."""
    chips = chips or count_chips(shape, chip)
    width = min(chips, chip.chips_per_node)
    decode_passes = completion_tokens - 1
    # Each decode pass reads the keys and values of all tokens before it.
    kv_tokens = decode_passes * prompt_tokens + decode_passes * (decode_passes + 1) // 2
    cycles = (
        _pass_cycles(shape, chip, width, prompt_tokens)
        + decode_passes * _pass_cycles(shape, chip, width, 1)
        + _ceil(kv_tokens * shape.kv_bytes_per_token, width * chip.stream_bytes_per_cycle)
    )
    return Timing(chips=chips, cycles=cycles, mode=MODE_ESTIMATE)


def count_chips(shape: ModelShape, chip: ChipSpec) -> int:
    """The fewest chips that hold a model's weights: one, or whole nodes."""
    chips = _ceil(shape.weight_bytes * 100, chip.sram_bytes * WEIGHT_SHARE_OF_SRAM_PERCENT)
    return chips if chips == 1 else _ceil(chips, chip.chips_per_node) * chip.chips_per_node


def _pass_cycles(shape: ModelShape, chip: ChipSpec, width: int, tokens: int) -> int:
    overhead_cycles = ONE_CHIP_LAYER_OVERHEAD_CYCLES if width == 1 else MANY_CHIP_LAYER_OVERHEAD_CYCLES
    layer_cycles = _matrix_cycles(shape.layer_weights, chip, width, tokens) + overhead_cycles
    return shape.layers * layer_cycles + _matrix_cycles(shape.head_weights, chip, width, 1)


def _matrix_cycles(weights: int, chip: ChipSpec, width: int, tokens: int) -> int:
    streaming_cycles = _ceil(weights * WEIGHT_BYTES, width * chip.stream_bytes_per_cycle)
    multiplying_cycles = _ceil(tokens * weights, width * chip.mxm_int8_macs_per_cycle)
    return max(streaming_cycles, multiplying_cycles)


def _ceil(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
