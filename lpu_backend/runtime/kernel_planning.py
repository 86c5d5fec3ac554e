"""From the steps of a forward pass to a program of kernels."""

from collections.abc import Iterable, Sequence
from functools import singledispatchmethod
from typing import cast

import numpy as np

from lpu_backend.runtime.code_linear import CodeLinear
from lpu_backend.runtime.kernel_layout import Operand, Room, Stock, Value
from lpu_backend.runtime.kernel_ops import (
    ADD,
    ATTEND,
    CAP,
    CLAMPED_SWIGLU_GATE,
    EXPERTS,
    EXTRA,
    FIELDS,
    GATE,
    GELU,
    GELU_TANH_GATE,
    KIND,
    LAYER_NORM,
    MULTIPLY,
    NORM,
    OPERAND,
    OTHER,
    RESULT,
    ROUTE,
    SILU_GATE,
    SOURCE,
    SPLIT,
    TURN,
    WIDTH,
    Floats,
    Whole,
)
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
    Normalise,
    Prepare,
    Step,
)

_GATES = {"silu": SILU_GATE, "gelu_tanh": GELU_TANH_GATE, "clamped_swiglu": CLAMPED_SWIGLU_GATE}


class KernelPlan:
    """The operations of one program, in order; several share a stock of numbers."""

    def __init__(self, stock: Stock, hidden: int) -> None:
        """Rows of `hidden` channels come in as the value at base 0."""
        self._stock = stock
        self.room = Room(2 * hidden)
        self.result = Value(0, hidden, 0, hidden)
        self._residuals = [self.result, Value(hidden, hidden, 0, hidden)]
        self._ops: list[Whole] = []
        self._values: dict[str, Value] = {}
        self._operands: dict[str, Operand] = {}
        self._wide: set[str] = set()
        self._output = ""

    @property
    def ops(self) -> Whole:
        return np.array(self._ops, np.int64).reshape(-1, FIELDS)

    def add_steps(self, steps: Sequence[Step], source: str, output: str, *, is_layer: bool) -> None:
        """Append a layer, or the head: `source` is what the one before gave, `output` what this one gives.

        ValueError for steps that have no kernel.
        """
        self.room.reset()
        self._values, self._operands = {source: self.result}, {}
        self._wide = {name for step in steps for name in _list_wide_operands(step)}
        self._output = output if is_layer else ""
        for step in steps:
            self._add(step)
        self.result = self._values[output]

    @singledispatchmethod
    def _add(self, step: Step) -> None:
        raise ValueError(f"{type(step).__name__} has no kernel")

    @_add.register
    def _prepare(self, step: Prepare) -> None:
        self._split(step.source, step.result, -1)

    @_add.register
    def _normalise(self, step: Normalise) -> None:
        self._split(step.source, step.result, self._stock.add_constants([float(step.epsilon)]))

    @_add.register
    def _apply_norm(self, step: ApplyNorm) -> None:
        source = self._values[step.source]
        self._norm(source, self._take(step.result, source.width), step.epsilon, step.weight, source.width)

    @_add.register
    def _apply_layer_norm(self, step: ApplyLayerNorm) -> None:
        source = self._values[step.source]
        extra = self._stock.add_constants([step.epsilon]), self._keep(step.weight), self._keep(step.bias)
        self._append(LAYER_NORM, source, result=self._take(step.result, source.width), extra=extra)

    @_add.register
    def _apply_function(self, step: ApplyFunction) -> None:
        if step.function != "gelu":
            raise ValueError(f"{step.function} has no kernel")
        source = self._values[step.source]
        self._append(GELU, source, result=self._take(step.result, source.width))

    @_add.register
    def _apply_linear(self, step: ApplyLinear) -> None:
        result = self._multiply(step.linear, self._operands[step.operand])
        for name, part in step.parts:
            self._values[name] = result.part(part.start, part.stop)

    @_add.register
    def _apply_attention(self, step: ApplyAttention) -> None:
        node, head_dim = step.node, step.node.head_dim
        if head_dim % 8:
            raise ValueError(f"heads of {head_dim} channels, no multiple of 8, have no kernel")
        heads = self._multiply(step.linear, self._operands[step.operand])
        for norm in step.norms:
            part = heads.part(norm.heads.start * head_dim, norm.heads.stop * head_dim)
            self._norm(part, part, norm.epsilon, norm.weight, head_dim)
        shape = (step.rotated, node.query_heads, node.kv_heads, head_dim, node.layer)
        self._append(TURN, heads, extra=shape)
        cap = -1 if node.softcap is None else self._stock.add_constants([1.0 / node.softcap, node.softcap])
        extra = (*shape, node.window or 0, cap, self._keep(step.sinks))
        result = self._take(node.name, node.query_heads * head_dim)
        self._append(ATTEND, heads, result=result, extra=extra)

    @_add.register
    def _apply_gate(self, step: ApplyGate) -> None:
        gate, up = self._values[step.gate], self._values[step.up]
        self._append(GATE, gate, up, self._take(step.result, gate.width), extra=[_GATES[step.activation]])

    @_add.register
    def _add_rows(self, step: AddRows) -> None:
        left, right = self._values[step.left], self._values[step.right]
        self._append(ADD, left, right, self._take(step.result, left.width))

    @_add.register
    def _cap_rows(self, step: CapRows) -> None:
        source = self._values[step.source]
        extra = [self._stock.add_constants([1.0 / step.cap, step.cap])]
        self._append(CAP, source, result=self._take(step.result, source.width), extra=extra)

    @_add.register
    def _apply_experts(self, step: ApplyExperts) -> None:
        operand = self._operands[step.operand]
        scores = self._multiply(step.router, operand)
        weights = self.room.take_value(scores.width)
        self._append(ROUTE, scores, result=weights, extra=[step.active, int(step.renormalise)])
        pairs = [(_codes_of(expert.gate_up), _codes_of(expert.down)) for expert in step.experts]
        first, *_ = [self._stock.add_matrix(linear) for pair in pairs for linear in pair]
        width, inner = pairs[0][1].codes.shape
        inner_operand = self.room.take_operand(inner, is_wide=any(down.is_wide for _, down in pairs))
        room = self.room.take_value(3 * inner + width)
        extra = (first, len(pairs), _GATES[step.activation], inner, *inner_operand.fields)
        self._append(EXPERTS, weights, room, self._take(step.result, width), operand, width=width, extra=extra)

    # What several steps share.

    def _split(self, source: str, result: str, epsilon: int) -> None:
        value = self._values[source]
        operand = self.room.take_operand(value.width, is_wide=result in self._wide)
        self._operands[result] = operand
        self._append(SPLIT, value, operand=operand, extra=[epsilon])

    def _multiply(self, linear: object, operand: Operand) -> Value:
        codes = _codes_of(linear)
        result = self.room.take_value(len(codes.codes))
        self._append(MULTIPLY, result=result, operand=operand, extra=[self._stock.add_matrix(codes)])
        return result

    def _norm(self, source: Value, result: Value, epsilon: np.float32, weight: Floats | None, width: int) -> None:
        extra = (self._stock.add_constants([float(epsilon)]), self._keep(weight), source.width // width)
        self._append(NORM, source, result=result, width=width, extra=extra)

    def _keep(self, constants: Floats | None) -> int:
        return -1 if constants is None else self._stock.add_constants(constants)

    def _take(self, name: str, width: int) -> Value:
        """Room for a value; a layer's output goes where the rows that came in are not."""
        if name == self._output:
            first, second = self._residuals
            value = second if self.result == first else first
        else:
            value = self.room.take_value(width)
        self._values[name] = value
        return value

    def _append(
        self,
        kind: int,
        source: Value | None = None,
        other: Value | None = None,
        result: Value | None = None,
        operand: Operand | None = None,
        *,
        width: int | None = None,
        extra: Iterable[int] = (),
    ) -> None:
        op = np.zeros(FIELDS, np.int64)
        op[KIND] = kind
        for field, place in ((SOURCE, source), (OTHER, other), (RESULT, result), (OPERAND, operand)):
            if place is not None:
                op[field : field + len(place.fields)] = place.fields
        op[WIDTH] = width if width is not None else source.width if source is not None else 0
        extras = list(extra)
        op[EXTRA : EXTRA + len(extras)] = extras
        self._ops.append(op)


def _codes_of(linear: object) -> CodeLinear:
    return cast(CodeLinear, linear)


def _list_wide_operands(step: Step) -> list[str]:
    """Operands that a wide matrix reads."""
    if isinstance(step, ApplyLinear | ApplyAttention):
        return [step.operand] if _codes_of(step.linear).is_wide else []
    if isinstance(step, ApplyExperts):
        linears = [step.router, *(expert.gate_up for expert in step.experts)]
        return [step.operand] if any(_codes_of(linear).is_wide for linear in linears) else []
    return []
