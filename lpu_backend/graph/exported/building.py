"""The graph that grows while a program is read, and the tensors that it names."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.graph.exported.values import Known, RefusalError, Rows
from lpu_backend.graph.exported.views import View, find_places, is_rows, make_view, shape_of
from lpu_backend.graph.function_graph import FunctionGraph, Input
from lpu_backend.graph.function_nodes import Affine, Constant
from lpu_backend.graph.nodes import Linear, Node, RmsNorm

Floats = NDArray[np.float32]


class GraphBuilder:
    """Nodes by name in order, how many tokens each value has, and tensors."""

    def __init__(self) -> None:
        self.inputs: dict[str, Input] = {}
        self.nodes: dict[str, Node] = {}
        self.tensors: dict[str, Floats] = {}
        self._tokens: dict[str, int] = {}

    def add_input(self, each: Input, tokens: int) -> None:
        self.inputs[each.name] = each
        self._tokens[each.name] = tokens

    def add(self, node: Node, tokens: int, view: View) -> Rows:
        """The node's value."""
        self.nodes[node.name] = node
        self._tokens[node.name] = tokens
        return Rows(node.name, view)

    def tokens_of(self, name: str) -> int:
        return self._tokens[name]

    def channels_of(self, name: str) -> int:
        channels = self.nodes[name].channels if name in self.nodes else self.inputs[name].channels
        assert channels is not None  # noqa: S101  ids are no rows
        return channels

    def ask_rows(self, value: Rows, what: str) -> None:
        """RefusalError unless the tensor's last axis are the channels and those before it the tokens."""
        if not is_rows(value.view, self.tokens_of(value.name), self.channels_of(value.name)):
            raise RefusalError(f"{what} of {list(shape_of(value.view))}, whose last axis is not all channels")

    def name(self, wanted: str) -> str:
        """`wanted`, or with a suffix if a value or node of an operation has the name already."""
        name, count = wanted, 1
        while name in self.nodes or name in self.inputs:
            name, count = f"{wanted}_{count}", count + 1
        return name

    def store(self, known: Known, name: str) -> str:
        """The tensor's name: its own, or this one."""
        stored = known.name or name
        self.tensors[stored] = to_floats(known.tensor)
        return stored

    def hold_constant(self, known: Known, like: Rows, name: str) -> str:
        """A Constant that lies as `like`; its name."""
        tokens, channels = self.tokens_of(like.name), self.channels_of(like.name)
        shape = shape_of(like.view)
        try:
            spread = to_floats(known.tensor.expand(shape))
        except RuntimeError as error:
            raise RefusalError(f"a constant of {list(known.tensor.shape)} with {list(shape)}") from error
        flat = np.empty(tokens * channels, np.float32)
        flat[find_places(like.view, channels).reshape(-1)] = spread.reshape(-1)
        rows = flat.reshape(tokens, channels)
        if (rows == rows[0]).all():
            rows = rows[:1]
        name = self.name(f"{name}_constant")
        self.tensors[name] = rows
        self.add(Constant(name, name, channels, (0, len(rows))), tokens, make_view((tokens, channels)))
        return name

    def slice_linear(self, value: Rows, kept: NDArray[np.int64], view: View, name: str) -> Rows:
        """Some outputs of a Linear: a Linear of those alone. RefusalError for anything else."""
        source = self.nodes.get(value.name)
        if not isinstance(source, Linear):
            raise RefusalError("a slice of channels, which only the result of a Linear can have")
        matrix = source.matrix
        weight = f"{matrix.weight}[{name}]"
        self.tensors[weight] = self.tensors[matrix.weight][kept]
        bias = None
        if matrix.bias is not None:
            bias = f"{matrix.bias}[{name}]"
            self.tensors[bias] = self.tensors[matrix.bias][kept]
        cut = replace(matrix, weight=weight, outputs=len(kept), bias=bias)
        return self.add(Linear(self.name(name), source.inputs, cut), self.tokens_of(value.name), view)

    def finish(self, name: str, outputs: Iterable[str]) -> FunctionGraph:
        """Only of what the outputs need. RefusalError if inputs have different numbers of tokens."""
        results = tuple(dict.fromkeys(self._keep(each) for each in outputs))
        needed = self._find_needed(results)
        nodes = tuple(node for node in self.nodes.values() if node.name in needed)
        inputs = tuple(each for each in self.inputs.values() if each.name in needed)
        tokens = {self.tokens_of(each.name) for each in inputs}
        if len(tokens) != 1:
            raise RefusalError(f"inputs of {sorted(tokens)} tokens: all must have as many")
        read = {tensor for node in nodes for tensor in _list_tensors(node)}
        self.tensors = {tensor: rows for tensor, rows in self.tensors.items() if tensor in read}
        return FunctionGraph(name, tokens.pop(), inputs, (nodes,), results)

    def _keep(self, name: str) -> str:
        """A norm that goes into the matrices which read it is not made: as an output it is made by its own node."""
        node = self.nodes[name]
        if not isinstance(node, RmsNorm):
            return name
        return self.add(
            Affine(self.name(f"{name}_output"), (name,), node.channels),
            self.tokens_of(name),
            make_view((self.tokens_of(name), node.channels)),
        ).name

    def _find_needed(self, outputs: Iterable[str]) -> set[str]:
        needed, waiting = set(), list(outputs)
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                waiting.extend(self.nodes[name].inputs if name in self.nodes else ())
        return needed


def to_floats(tensor: Any) -> Floats:
    """A torch tensor as fp32 in numpy."""
    return np.ascontiguousarray(tensor.detach().cpu().to(dtype=_float32()).numpy())


def _float32() -> Any:
    import torch

    return torch.float32


def _list_tensors(node: Node) -> list[str]:
    if isinstance(node, Linear):
        return [each for each in (node.matrix.weight, node.matrix.bias) if each is not None]
    names = (getattr(node, field, None) for field in ("table", "weight", "bias", "tensor", "mask"))
    return [name for name in names if isinstance(name, str)]
