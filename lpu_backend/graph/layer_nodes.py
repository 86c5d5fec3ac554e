"""The nodes of one decoder layer, put together from the parts that families share."""

import math
from dataclasses import dataclass

from lpu_backend.graph.decoder_config import DecoderConfig
from lpu_backend.graph.nodes import (
    Activation,
    Add,
    Attend,
    Expert,
    Experts,
    Gate,
    Linear,
    Matrix,
    Node,
    RmsNorm,
    Rotate,
)


@dataclass(frozen=True)
class Attention:
    """Where families differ: biases, norms of query and key heads, scale (None for 1 / root), softcap, sinks."""

    input_bias: bool = False
    output_bias: bool = False
    normalises_heads: bool = False
    scale: float | None = None
    softcap: float | None = None
    has_sinks: bool = False


@dataclass(frozen=True)
class ExpertNames:
    """Tensors of experts below their layer's name, with the expert's number left open: `experts.{}.up_proj`."""

    router: str
    gate: str
    up: str
    down: str


class LayerNodes:
    """Adds nodes to one layer; every method returns the name of the value that it made."""

    def __init__(self, config: DecoderConfig, index: int) -> None:
        self.nodes: list[Node] = []
        self._config = config
        self.index = index

    def norm(self, name: str, source: str, tensor: str, *, offset: float = 0.0) -> str:
        """A norm of all channels."""
        hidden = self._config.hidden_size
        return self._norm(name, source, tensor, hidden, hidden, offset)

    def attend(self, source: str, kind: Attention) -> str:
        """Queries, keys and values of the normalised source, their attention, and its output matrix."""
        config = self._config
        query_channels = config.query_heads * config.head_width
        attended = Attend(
            self._name("attention"),
            (
                self._heads("query", source, config.query_heads, kind),
                self._heads("key", source, config.kv_heads, kind),
                self._linear("value", source, self._project("v", config.kv_heads, kind)),
            ),
            layer=self.index,
            query_heads=config.query_heads,
            kv_heads=config.kv_heads,
            head_dim=config.head_width,
            scale=1.0 / math.sqrt(config.head_width) if kind.scale is None else kind.scale,
            softcap=kind.softcap,
            window=config.windows[self.index],
            sinks=f"{self.tensors}.self_attn.sinks" if kind.has_sinks else None,
        )
        output = self.matrix("self_attn.o_proj", query_channels, config.hidden_size, bias=kind.output_bias)
        return self._linear("attention_output", self._add(attended), output)

    def gated_mlp(self, source: str, activation: Activation, *, bias: bool = False) -> str:
        """down(activation(gate) * up)."""
        hidden, inner = self._config.hidden_size, self._config.intermediate_size
        gate = self._linear("gate", source, self.matrix("mlp.gate_proj", hidden, inner, bias=bias))
        up = self._linear("up", source, self.matrix("mlp.up_proj", hidden, inner, bias=bias))
        gated = self._add(Gate(self._name("gated"), (gate, up), inner, activation))
        return self._linear("down", gated, self.matrix("mlp.down_proj", inner, hidden, bias=bias))

    def experts(
        self, source: str, names: ExpertNames, *, inner: int, count: int, active: int, renormalise: bool
    ) -> str:
        """`count` gated MLPs of `inner` channels, of which each token takes `active`."""
        hidden = self._config.hidden_size
        experts = tuple(
            Expert(
                gate=self.matrix(names.gate.format(number), hidden, inner),
                up=self.matrix(names.up.format(number), hidden, inner),
                down=self.matrix(names.down.format(number), inner, hidden),
            )
            for number in range(count)
        )
        return self.route(source, self.matrix(names.router, hidden, count), experts, active, renormalise=renormalise)

    def route(
        self,
        source: str,
        router: Matrix,
        experts: tuple[Expert, ...],
        active: int,
        *,
        renormalise: bool,
        activation: Activation = "silu",
    ) -> str:
        """`active` of these experts for each token."""
        return self._add(Experts(self._name("experts"), (source,), router, experts, active, renormalise, activation))

    def add(self, name: str, left: str, right: str) -> str:
        """The sum of two values, as wide as the residual."""
        return self._add(Add(self._name(name), (left, right), self._config.hidden_size))

    def _heads(self, name: str, source: str, heads: int, kind: Attention) -> str:
        value = self._linear(name, source, self._project(name[0], heads, kind))
        width = self._config.head_width
        if kind.normalises_heads:
            value = self._norm(f"{name}_norm", value, f"self_attn.{name[0]}_norm", heads * width, width, 0.0)
        return self._add(Rotate(self._name(f"{name}_rotated"), (value,), heads, width))

    def _project(self, letter: str, heads: int, kind: Attention) -> Matrix:
        outputs = heads * self._config.head_width
        return self.matrix(f"self_attn.{letter}_proj", self._config.hidden_size, outputs, bias=kind.input_bias)

    def _norm(self, name: str, source: str, tensor: str, channels: int, width: int, offset: float) -> str:
        weight = f"{self.tensors}.{tensor}.weight"
        return self._add(
            RmsNorm(self._name(name), (source,), channels, width, weight, self._config.rms_norm_eps, offset)
        )

    def _linear(self, name: str, source: str, matrix: Matrix) -> str:
        return self._add(Linear(self._name(name), (source,), matrix))

    def matrix(self, name: str, inputs: int, outputs: int, *, bias: bool = False) -> Matrix:
        """Of the tensors `name`.weight and perhaps `name`.bias of this layer."""
        tensor = f"{self.tensors}.{name}"
        return Matrix(f"{tensor}.weight", inputs, outputs, f"{tensor}.bias" if bias else None)

    def _add(self, node: Node) -> str:
        self.nodes.append(node)
        return node.name

    def _name(self, name: str) -> str:
        return f"layers.{self.index}.{name}"

    @property
    def tensors(self) -> str:
        """What the names of the layer's tensors begin with."""
        return f"model.layers.{self.index}"
