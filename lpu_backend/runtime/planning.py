"""From the nodes of a layer, or of the head, to the steps that compute them, weights folded and laid out."""

from collections.abc import Sequence
from functools import singledispatchmethod

import numpy as np

from lpu_backend.graph.folding import Folding, Select, Tensors, fold_matrix, select_expert, select_linear, select_router
from lpu_backend.graph.function_nodes import Activate, LayerNorm
from lpu_backend.graph.nodes import Add, Attend, Experts, Gate, Linear, Node, RmsNorm, Rotate, SoftCap
from lpu_backend.runtime.numerics import Floats, Numerics
from lpu_backend.runtime.numerics import Linear as Product
from lpu_backend.runtime.steps import (
    AddRows,
    ApplyAttention,
    ApplyExperts,
    ApplyFunction,
    ApplyGate,
    ApplyLayerNorm,
    ApplyLinear,
    ApplyNorm,
    CapRows,
    ExpertWeights,
    HeadNorm,
    Normalise,
    Prepare,
    Step,
)

_Folded = tuple[Floats, Floats | None]


def plan_steps(nodes: Sequence[Node], tensors: Tensors, numerics: Numerics) -> tuple[Step, ...]:
    """Steps in order, which read and write values under the graph's names. ValueError for nodes it cannot compute."""
    plan = _Plan(nodes, tensors, numerics)
    for node in nodes:
        plan.add(node)
    return tuple(plan.steps)


class _Plan:
    """Matrices that read the same value become one; so do an attention's, with all that lies between."""

    def __init__(self, nodes: Sequence[Node], tensors: Tensors, numerics: Numerics) -> None:
        self.steps: list[Step] = []
        self._nodes, self._tensors, self._numerics = nodes, tensors, numerics
        self._folding = Folding(nodes)
        self._planned: set[str] = set()
        for node in nodes:
            if isinstance(node, Attend):
                self._planned |= {each.name for name in node.inputs for each in self._trace_back(name)}

    def add(self, node: Node) -> None:
        """Append the node's steps, unless another's include them."""
        if node.name not in self._planned:
            self._planned.add(node.name)
            self._add(node)

    @singledispatchmethod
    def _add(self, node: Node) -> None:
        raise ValueError(f"{node.name}: {type(node).__name__} is not computed")

    @_add.register
    def _rms_norm(self, node: RmsNorm) -> None:
        epsilon = np.float32(node.epsilon)
        if self._folding.is_folded(node):
            self.steps.append(Normalise(self._numerics, node.inputs[0], node.name, epsilon))
            return
        weight = self._folding.fold_norm(node, self._tensors)
        self.steps.append(ApplyNorm(self._numerics, node.inputs[0], node.name, epsilon, weight))

    @_add.register
    def _layer_norm(self, node: LayerNorm) -> None:
        weight, bias = (None if name is None else self._tensors[name] for name in (node.weight, node.bias))
        self.steps.append(ApplyLayerNorm(self._numerics, node.inputs[0], node.name, node.epsilon, weight, bias))

    @_add.register
    def _activate(self, node: Activate) -> None:
        self.steps.append(ApplyFunction(self._numerics, node.function, node.inputs[0], node.name))

    @_add.register
    def _linear(self, node: Linear) -> None:
        readers = self._folding.consumers[node.inputs[0]]
        others = [each for each in readers if isinstance(each, Linear) and each.name not in self._planned]
        alike = [node, *others]
        self._planned |= {each.name for each in alike}
        ends = np.cumsum([each.channels for each in alike]).tolist()
        parts = tuple((each.name, slice(end - each.channels, end)) for each, end in zip(alike, ends, strict=True))
        self.steps.append(
            ApplyLinear(self._join([self._fold(each, select_linear) for each in alike]), self._operand(node), parts)
        )

    @_add.register
    def _attend(self, node: Attend) -> None:
        chains = [self._trace_back(name) for name in node.inputs]
        linears = [chain[-1] for chain in chains]
        if len({linear.inputs for linear in linears}) > 1:
            raise ValueError(f"{node.name}: queries, keys and values of different rows are not computed")
        norms: list[HeadNorm] = []
        end = rotated = 0
        for chain, heads in zip(chains, (node.query_heads, node.kv_heads, node.kv_heads), strict=True):
            start, end = end, end + heads
            norms += [self._norm_heads(each, slice(start, end)) for each in chain if isinstance(each, RmsNorm)]
            rotated = end if any(isinstance(each, Rotate) for each in chain) else rotated
        matrix = self._join([self._fold(linear, select_linear) for linear in linears])
        sinks = None if node.sinks is None else self._tensors[node.sinks]
        operand = self._operand(linears[0])
        self.steps.append(ApplyAttention(self._numerics, node, matrix, operand, tuple(norms), rotated, sinks))

    @_add.register
    def _gate(self, node: Gate) -> None:
        self.steps.append(ApplyGate(self._numerics, node.activation, *node.inputs, node.name))

    @_add.register
    def _add_rows(self, node: Add) -> None:
        self.steps.append(AddRows(*node.inputs, node.name))

    @_add.register
    def _soft_cap(self, node: SoftCap) -> None:
        self.steps.append(CapRows(self._numerics, node.inputs[0], node.name, node.cap))

    @_add.register
    def _experts(self, node: Experts) -> None:
        experts = []
        for index in range(len(node.experts)):
            gate, up, down = (self._fold(node, select_expert(index, name)) for name in ("gate", "up", "down"))
            experts.append(ExpertWeights(self._join([gate, up]), self._join([down])))
        step = ApplyExperts(
            self._numerics,
            self._operand(node),
            node.name,
            self._join([self._fold(node, select_router)]),
            tuple(experts),
            node.active,
            node.renormalise,
            node.activation,
        )
        self.steps.append(step)

    # What several nodes share.

    def _operand(self, node: Linear | Experts) -> str:
        """The name of what a matrix reads: a folded norm's, or that of its rows once they are prepared."""
        source = node.inputs[0]
        if self._folding.norm_before(node) is not None:
            return source
        operand = f"{source} prepared"
        if operand not in self._planned:
            self._planned.add(operand)
            self.steps.append(Prepare(self._numerics, source, operand))
        return operand

    def _fold(self, node: Node, select: Select) -> _Folded:
        return fold_matrix(*select(node, self._folding), self._tensors)

    def _join(self, folded: Sequence[_Folded]) -> Product:
        """The matrices one below the other; a bias of zeros where one has none and another has."""
        weight = np.concatenate([weight for weight, _ in folded])
        if all(bias is None for _, bias in folded):
            return self._numerics.make_linear(weight, None)
        biases = [np.zeros(len(each), np.float32) if bias is None else bias for each, bias in folded]
        return self._numerics.make_linear(weight, np.concatenate(biases))

    def _norm_heads(self, norm: RmsNorm, heads: slice) -> HeadNorm:
        return HeadNorm(heads, np.float32(norm.epsilon), self._folding.fold_norm(norm, self._tensors))

    def _trace_back(self, name: str) -> tuple[*tuple[Node, ...], Linear]:
        """The nodes from a query, key or value back to the Linear that it comes from."""
        chain: list[Node] = []
        node = self._folding.nodes[name]
        while isinstance(node, Rotate | RmsNorm):
            chain.append(node)
            node = self._folding.nodes[node.inputs[0]]
        if not isinstance(node, Linear):
            raise ValueError(f"{name}: comes from {type(node).__name__}, not from a matrix")
        return *chain, node
