"""The operations of a model graph. Every value is fp32 [tokens, channels]; tensors are named as in the checkpoint.

A graph is in single static assignment: a node's `inputs` are names of earlier nodes. How numbers are represented is
decided later, by the compiler's quantise pass and, the same, by the serving runtime (docs/numerics.md).
"""

from dataclasses import dataclass
from typing import Literal

from lpu_backend.graph.function_nodes import FunctionNode

Activation = Literal["silu", "gelu", "gelu_tanh", "relu", "clamped_swiglu"]
"""clamped_swiglu: gate up to 7, up within 7 either side; gate * sigmoid(1.702 gate) * (up + 1)."""


@dataclass(frozen=True)
class Stacked:
    """Where a matrix lies in a tensor [count, inputs, step x outputs]: in slice `index`, every `step`-th output from
    `first` on. Its bias is in [count, step x outputs]."""

    index: int
    count: int
    step: int = 1
    first: int = 0


@dataclass(frozen=True)
class Matrix:
    """A weight [outputs, inputs] and perhaps a bias [outputs], by their tensors' names.

    `rows` is the part of the tensor's first axis that is meant, for tensors that hold several matrices; with `groups`
    the axis is that many equal parts, and `rows` is meant of each.
    """

    weight: str
    inputs: int
    outputs: int
    bias: str | None = None
    rows: tuple[int, int] | None = None
    stacked: Stacked | None = None
    groups: int = 1


@dataclass(frozen=True)
class Embed:
    """The token's row of `table` [vocabulary, channels], times `factor`. A graph begins with it.

    Without `inputs` the ids are the step's tokens, else those of the graph's input of that name.
    """

    name: str
    table: str
    channels: int
    factor: float = 1.0
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class RmsNorm:
    """x / sqrt(mean of x^2 + epsilon) times weight (+ `offset`, which is 1 in Gemma), over each `width` channels.

    `width` is all channels, or the head's width where heads are normalised apart (Qwen3). `weight` [width], None for 1.
    """

    name: str
    inputs: tuple[str]
    channels: int
    width: int
    weight: str | None
    epsilon: float
    offset: float = 0.0


@dataclass(frozen=True)
class Linear:
    """matrix @ x + bias."""

    name: str
    inputs: tuple[str]
    matrix: Matrix

    @property
    def channels(self) -> int:
        return self.matrix.outputs


@dataclass(frozen=True)
class Rotate:
    """Rotary position embedding of `heads` heads of `head_dim` channels: pairs (i, i + head_dim / 2)."""

    name: str
    inputs: tuple[str]
    heads: int
    head_dim: int

    @property
    def channels(self) -> int:
        return self.heads * self.head_dim


@dataclass(frozen=True)
class Attend:
    """Causal attention of `inputs` query, key, value over the layer's cache, in which it stores key and value.

    Scores are q . k * `scale`, then `softcap` * tanh(score / softcap) if given. `window` is how many tokens, the
    token itself included, are seen at most. Query head h uses key head h // (query_heads / kv_heads). `sinks`
    [query_heads] are scores of one more token, whose value is zero.
    """

    name: str
    inputs: tuple[str, str, str]
    layer: int
    query_heads: int
    kv_heads: int
    head_dim: int
    scale: float
    softcap: float | None = None
    window: int | None = None
    sinks: str | None = None

    @property
    def channels(self) -> int:
        return self.query_heads * self.head_dim


@dataclass(frozen=True)
class Gate:
    """activation(inputs[0]) * inputs[1]."""

    name: str
    inputs: tuple[str, str]
    channels: int
    activation: Activation


@dataclass(frozen=True)
class Add:
    """The sum of two values."""

    name: str
    inputs: tuple[str, str]
    channels: int


@dataclass(frozen=True)
class SoftCap:
    """cap * tanh(x / cap)."""

    name: str
    inputs: tuple[str]
    channels: int
    cap: float


@dataclass(frozen=True)
class Expert:
    """One expert's matrices: down(activation(gate(x)) * up(x))."""

    gate: Matrix
    up: Matrix
    down: Matrix


@dataclass(frozen=True)
class Experts:
    """The `active` experts with the largest router scores (the lower index on a tie), each weighted, summed by index.

    The weight of an expert is its softmax score, over the sum of the chosen ones' if `renormalise`.
    """

    name: str
    inputs: tuple[str]
    router: Matrix
    experts: tuple[Expert, ...]
    active: int
    renormalise: bool
    activation: Activation

    @property
    def channels(self) -> int:
        return self.experts[0].down.outputs


Node = Embed | RmsNorm | Linear | Rotate | Attend | Gate | Add | SoftCap | Experts | FunctionNode


@dataclass(frozen=True)
class RopeTable:
    """Radians per position of each pair [head_dim / 2], and the factor on cosines and sines (1 for most)."""

    frequencies: tuple[float, ...]
    factor: float = 1.0


@dataclass(frozen=True)
class ModelGraph:
    """`layers[i]` are the nodes of decoder layer i; the first reads `embed`, each next one what the last node gave.

    `head` follows: the final norm, the output matrix (the last Linear gives the logits), perhaps a SoftCap. Node
    names are unique, those of a layer begin with `layers.i.`. Layers whose nodes differ only in layer numbers and
    tensor names are of one kind, and are scheduled once.
    """

    family: str
    vocabulary: int
    hidden: int
    context_window: int
    embed: Embed
    layers: tuple[tuple[Node, ...], ...]
    head: tuple[Node, ...]
    rope: RopeTable
