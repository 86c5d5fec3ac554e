"""Element-wise operations between values, constants and numbers."""

from typing import Any

import numpy as np

from lpu_backend.graph.exported.attention import add_mask
from lpu_backend.graph.exported.building import GraphBuilder
from lpu_backend.graph.exported.values import Known, RefusalError, Rows, Scores, Statistic
from lpu_backend.graph.function_nodes import Activate, Affine, Constant, Function, Multiply, Subtract
from lpu_backend.graph.nodes import Add, RmsNorm


def activate(graph: GraphBuilder, name: str, value: Any, function: Function) -> Rows:
    """A function of each element."""
    rows = _ask_rows(value)
    channels = graph.channels_of(rows.name)
    return graph.add(Activate(name, (rows.name,), channels, function), graph.tokens_of(rows.name), rows.view)


def scale(graph: GraphBuilder, name: str, value: Any, factor: float, offset: float = 0.0) -> Any:
    """A value, scores or a mean of squares by a number, plus a number."""
    if isinstance(value, Scores):
        if offset or value.mask is not None or value.is_softmax:
            raise RefusalError("scores of attention with a number added, or scaled after their mask")
        return Scores(**{**value.__dict__, "scale": value.scale * factor})
    if isinstance(value, Statistic) and value.stage == "mean" and factor == 1.0:
        return Statistic("mean", value.source, value.epsilon + offset)
    rows = _ask_rows(value)
    node = Affine(name, (rows.name,), graph.channels_of(rows.name), factor, offset)
    return graph.add(node, graph.tokens_of(rows.name), rows.view)


def add(graph: GraphBuilder, name: str, left: Any, right: Any, alpha: float = 1.0) -> Any:
    """left + alpha * right."""
    if isinstance(right, Rows) and alpha != 1.0:
        right = scale(graph, graph.name(f"{name}_scaled"), right, alpha)
    value, other = (right, left) if _is_constant(left) else (left, right)
    factor = alpha if other is right else 1.0
    if isinstance(value, Scores):
        return add_mask(value, Known(other.tensor * factor) if isinstance(other, Known) else other)
    number = read_number(other)
    if number is not None:
        return scale(graph, name, value, 1.0, number * factor)
    if isinstance(other, Known):
        other = Known(other.tensor * factor, other.name if factor == 1.0 else None)
    return _combine(graph, name, _ask_rows(value), other, Add)


def subtract(graph: GraphBuilder, name: str, left: Any, right: Any, alpha: float = 1.0) -> Any:
    """left - alpha * right."""
    if _is_constant(right):
        return add(graph, name, left, right, -alpha)
    if alpha != 1.0:
        right = scale(graph, graph.name(f"{name}_scaled"), right, alpha)
    number = read_number(left)
    if number is not None:
        return scale(graph, name, right, -1.0, number)
    if isinstance(left, Known):
        rows = _ask_rows(right)
        held = graph.hold_constant(left, rows, name)
        node = Subtract(name, (held, rows.name), graph.channels_of(rows.name))
        return graph.add(node, graph.tokens_of(rows.name), rows.view)
    return _combine(graph, name, _ask_rows(left), right, Subtract)


def multiply(graph: GraphBuilder, name: str, left: Any, right: Any) -> Any:
    """left * right; a value by one over the root of its own mean square is an RMSNorm."""
    value, other = (right, left) if _is_constant(left) or isinstance(left, Statistic) else (left, right)
    if isinstance(other, Statistic):
        return _normalise(graph, name, value, other)
    number = read_number(other)
    if number is not None:
        return scale(graph, name, value, number)
    rows = _ask_rows(value)
    node = graph.nodes.get(rows.name)
    if isinstance(node, RmsNorm) and node.weight is None and isinstance(other, Known):
        held = graph.nodes[graph.hold_constant(other, rows, name)]
        if isinstance(held, Constant) and held.is_common:
            graph.tensors[held.tensor] = graph.tensors[held.tensor].reshape(-1)
            fused = RmsNorm(name, node.inputs, node.channels, node.width, held.tensor, node.epsilon)
            return graph.add(fused, graph.tokens_of(rows.name), rows.view)
    return _combine(graph, name, rows, other, Multiply)


def divide(graph: GraphBuilder, name: str, left: Any, right: Any) -> Any:
    """By a constant: times one over it, rounded to fp32. RefusalError for anything else: there is no division."""
    number = read_number(right)
    if number is not None:
        return scale(graph, name, left, float(np.float32(1.0) / np.float32(number)))
    if isinstance(right, Known):
        return multiply(graph, name, left, Known(1.0 / right.tensor))
    raise RefusalError("division by what depends on the inputs: the chip has none")


def read_number(value: Any) -> float | None:
    """Of a number or a tensor of one element."""
    if isinstance(value, Known) and value.tensor.numel() == 1:
        return float(value.tensor)
    return float(value) if isinstance(value, int | float) else None


def _normalise(graph: GraphBuilder, name: str, value: Any, statistic: Statistic) -> Rows:
    rows = _ask_rows(value)
    if statistic.stage != "root" or statistic.source != rows:
        raise RefusalError("a product with a mean of squares, but for an RMSNorm's")
    channels = graph.channels_of(rows.name)
    node = RmsNorm(name, (rows.name,), channels, channels, None, statistic.epsilon)
    return graph.add(node, graph.tokens_of(rows.name), rows.view)


def _combine(graph: GraphBuilder, name: str, rows: Rows, other: Any, make: type[Add | Multiply | Subtract]) -> Rows:
    if isinstance(other, Known):
        second = graph.hold_constant(other, rows, name)
    else:
        same = _ask_rows(other)
        if same.view != rows.view or graph.tokens_of(same.name) != graph.tokens_of(rows.name):
            raise RefusalError("two values of different shapes or orders of their axes")
        second = same.name
    node = make(name, (rows.name, second), graph.channels_of(rows.name))
    return graph.add(node, graph.tokens_of(rows.name), rows.view)


def _is_constant(value: Any) -> bool:
    return isinstance(value, Known | int | float)


def _ask_rows(value: Any) -> Rows:
    if not isinstance(value, Rows):
        raise RefusalError(f"of {type(value).__name__.lower()}, which is no value of channels")
    return value
