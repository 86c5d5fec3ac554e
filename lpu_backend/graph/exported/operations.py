"""What each operation of a torch program becomes, by its name in ATen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lpu_backend.graph.exported import arithmetic
from lpu_backend.graph.exported.attention import add_mask, attend_once, begin_scores, mix_values
from lpu_backend.graph.exported.building import GraphBuilder
from lpu_backend.graph.exported.values import (
    Ids,
    Known,
    Pieces,
    RefusalError,
    Rows,
    Scores,
    ScoreTest,
    Statistic,
    Unknown,
    Value,
)
from lpu_backend.graph.exported.views import make_view
from lpu_backend.graph.function_graph import Input
from lpu_backend.graph.function_nodes import Function, LayerNorm, MeanTokens, Softmax
from lpu_backend.graph.nodes import Embed, Linear, Matrix, RmsNorm

Arguments = dict[str, Any]
"""By the names of the operation's schema; "shape" is that of its result."""
Operation = Callable[[GraphBuilder, str, Arguments], Value]

_FLOAT32_STEP = 1.1920928955078125e-07
"""torch's epsilon of an rms_norm without one."""


def _linear(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    return make_linear(graph, name, a["input"], a["weight"], a["bias"])


def make_linear(graph: GraphBuilder, name: str, value: Any, weight: Any, bias: Any) -> Value:
    """weight [outputs, inputs], bias [outputs] or None."""
    if not isinstance(value, Rows) or not isinstance(weight, Known) or not isinstance(bias, Known | None):
        raise RefusalError("a product of two values, of which neither is a constant")
    graph.ask_rows(value, "a product with a matrix")
    outputs, inputs = weight.tensor.shape
    stored = None
    if bias is not None:
        stored = graph.store(Known(bias.tensor.expand(outputs), bias.name), f"{name}.bias")
    matrix = Matrix(graph.store(weight, f"{name}.weight"), inputs, outputs, stored)
    view = (*value.view[:-1], *make_view((outputs,)))
    return graph.add(Linear(name, (value.name,), matrix), graph.tokens_of(value.name), view)


def _addmm(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    if a["beta"] != 1 or a["alpha"] != 1:
        raise RefusalError("factors other than 1")
    return make_linear(graph, name, a["mat1"], _transpose(a["mat2"]), a["self"])


def _matmul(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    left, right = a["self"], a["mat2"] if "mat2" in a else a["other"]
    if isinstance(left, Scores) and isinstance(right, Rows):
        if not left.is_softmax:
            raise RefusalError("scores of attention by values without a softmax")
        return mix_values(graph, name, left, right)
    if isinstance(left, Rows) and isinstance(right, Rows):
        return begin_scores(graph, left, right)
    return make_linear(graph, name, left, _transpose(right), None)


def _transpose(weight: Any) -> Any:
    return Known(weight.tensor.t().contiguous()) if isinstance(weight, Known) and weight.tensor.ndim == 2 else weight


def _embedding(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    table, ids = a["weight"], a["indices"]
    if not isinstance(table, Known) or not isinstance(ids, Ids):
        raise RefusalError("of a table or ids that are computed")
    vocabulary, channels = table.tensor.shape
    known = graph.inputs[ids.name]
    graph.inputs[ids.name] = Input(ids.name, vocabulary=min(vocabulary, known.vocabulary or vocabulary))
    node = Embed(name, graph.store(table, f"{name}.weight"), channels, inputs=(ids.name,))
    return graph.add(node, graph.tokens_of(ids.name), make_view(a["shape"]))


def _ask_whole(graph: GraphBuilder, a: Arguments) -> Rows:
    value = a["input"]
    if not isinstance(value, Rows):
        raise RefusalError("of what is no value of channels")
    graph.ask_rows(value, "a norm")
    if list(a["normalized_shape"]) != [graph.channels_of(value.name)]:
        raise RefusalError(f"over {list(a['normalized_shape'])}, which is not the last axis alone")
    return value


def _store_weight(graph: GraphBuilder, weight: Any, name: str) -> str | None:
    if weight is None:
        return None
    if not isinstance(weight, Known):
        raise RefusalError("a weight that is no constant")
    return graph.store(weight, name)


def _layer_norm(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value = _ask_whole(graph, a)
    weight, bias = (_store_weight(graph, a[part], f"{name}.{part}") for part in ("weight", "bias"))
    node = LayerNorm(name, (value.name,), graph.channels_of(value.name), weight, bias, a["eps"])
    return graph.add(node, graph.tokens_of(value.name), value.view)


def _native_layer_norm(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    return Pieces((_layer_norm(graph, name, a), Unknown(), Unknown()))


def _rms_norm(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value = _ask_whole(graph, a)
    channels = graph.channels_of(value.name)
    epsilon = _FLOAT32_STEP if a["eps"] is None else a["eps"]
    weight = _store_weight(graph, a["weight"], f"{name}.weight")
    node = RmsNorm(name, (value.name,), channels, channels, weight, epsilon)
    return graph.add(node, graph.tokens_of(value.name), value.view)


def _fused_rms_norm(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    return Pieces((_rms_norm(graph, name, a), Unknown()))


def _softmax(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value, axes = a["self"], len(a["shape"])
    if a["dim"] % axes != axes - 1:
        raise RefusalError("over an axis that is not the last")
    if isinstance(value, Scores) and not value.is_softmax:
        return replace(value, is_softmax=True)
    if not isinstance(value, Rows):
        raise RefusalError("of what is no value of channels")
    graph.ask_rows(value, "a softmax")
    node = Softmax(name, (value.name,), graph.channels_of(value.name))
    return graph.add(node, graph.tokens_of(value.name), value.view)


def _attention(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    return attend_once(graph, name, a)


def _masked_fill(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    del graph, name
    fill, mask = arithmetic.read_number(a["value"]), a["mask"]
    if not isinstance(a["self"], Scores) or not isinstance(mask, Known) or fill is None or fill > -1e30:
        raise RefusalError("but for hiding scores of attention by a constant mask")
    return add_mask(a["self"], Known(~mask.tensor.bool()))


def _where(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    """Of rows that are hidden whole, torch's softmax is 0 here; no such row is accepted in a mask."""
    if isinstance(a["condition"], ScoreTest) and isinstance(a["other"], Scores):
        return a["other"]
    if isinstance(a["self"], Scores):
        inverse = {"self": a["self"], "mask": a["condition"], "value": a["other"]}
        if isinstance(a["condition"], Known):
            inverse["mask"] = Known(~a["condition"].tensor)
        return _masked_fill(graph, name, inverse)
    raise RefusalError("but for scores of attention")


def _test_scores(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    del graph, name
    if isinstance(a["self"], Scores | ScoreTest):
        return ScoreTest()
    raise RefusalError("but for scores of attention")


def _square(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value = a["self"]
    if not isinstance(value, Rows) or arithmetic.read_number(a["exponent"]) != 2.0:
        raise RefusalError("of a value to a power other than 2")
    del graph, name
    return Statistic("squares", value)


def _mean(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value, dims = a["self"], a["dim"]
    if isinstance(value, Statistic) and value.stage == "squares" and a["keepdim"] and _is_last(dims, a["axes"]):
        graph.ask_rows(value.source, "a mean")
        return Statistic("mean", value.source)
    if isinstance(value, Rows) and dims and not _is_last(dims, a["axes"]):
        graph.ask_rows(value, "a mean")
        tokens = graph.tokens_of(value.name)
        covered = [value.view[dim] for dim in dims]
        if sum(atom.size for axis in covered for atom in axis) == tokens:
            channels = graph.channels_of(value.name)
            return graph.add(MeanTokens(name, (value.name,), channels), 1, make_view(a["shape"]))
    raise RefusalError("but for a mean over all tokens, or an RMSNorm's")


def _is_last(dims: Any, axes: int) -> bool:
    return [dim % axes for dim in dims or ()] == [axes - 1]


def _rsqrt(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value = a["self"]
    if isinstance(value, Statistic) and value.stage == "mean":
        return replace(value, stage="root")
    return arithmetic.activate(graph, name, value, "rsqrt")


def _gelu(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    function: Function = "gelu_tanh" if a["approximate"] == "tanh" else "gelu"
    return arithmetic.activate(graph, name, a["self"], function)


def _activation(function: Function) -> Operation:
    return lambda graph, name, a: arithmetic.activate(graph, name, a["self"], function)


def _rsub(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value: Value = arithmetic.subtract(graph, name, a["other"], a["self"], a["alpha"])
    return value


def _divide(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    if a.get("rounding_mode") is not None:
        raise RefusalError(f"with rounding_mode {a['rounding_mode']!r}")
    value: Value = arithmetic.divide(graph, name, a["self"], a["other"])
    return value


OPERATIONS: dict[str, Operation] = {
    "linear": _linear,
    "addmm": _addmm,
    "mm": _matmul,
    "bmm": _matmul,
    "matmul": _matmul,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "native_layer_norm": _native_layer_norm,
    "rms_norm": _rms_norm,
    "_fused_rms_norm": _fused_rms_norm,
    "softmax": _softmax,
    "_softmax": _softmax,
    "scaled_dot_product_attention": _attention,
    "masked_fill": _masked_fill,
    "where": _where,
    "eq": _test_scores,
    "logical_not": _test_scores,
    "any": _test_scores,
    "full_like": _test_scores,
    "pow": _square,
    "mean": _mean,
    "rsqrt": _rsqrt,
    "gelu": _gelu,
    "silu": _activation("silu"),
    "relu": _activation("relu"),
    "tanh": _activation("tanh"),
    "sigmoid": _activation("sigmoid"),
    "exp": _activation("exp"),
    "neg": lambda graph, name, a: arithmetic.scale(graph, name, a["self"], -1.0),
    "add": lambda graph, name, a: arithmetic.add(graph, name, a["self"], a["other"], a["alpha"]),
    "sub": lambda graph, name, a: arithmetic.subtract(graph, name, a["self"], a["other"], a["alpha"]),
    "rsub": _rsub,
    "mul": lambda graph, name, a: arithmetic.multiply(graph, name, a["self"], a["other"]),
    "div": _divide,
}
