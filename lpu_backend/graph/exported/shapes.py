"""Operations that move axes or take parts of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lpu_backend.graph.exported.building import GraphBuilder
from lpu_backend.graph.exported.values import Ids, Pieces, RefusalError, Rows, Scores, ScoreTest, Unknown, Value
from lpu_backend.graph.exported.views import View, expand, narrow, reshape, shape_of
from lpu_backend.graph.function_nodes import TakeToken

Arguments = dict[str, Any]
Operation = Callable[[GraphBuilder, str, Arguments], Value]


def _keep(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    """The same value: layouts in memory, copies and dropout that is switched off are no operations of the chip."""
    del graph, name
    value: Value = a["self"] if "self" in a else a["input"]
    if a.get("train") and a.get("p"):
        raise RefusalError("in training: export the model after eval()")
    if a.get("dtype") is not None and not a["dtype"].is_floating_point and not isinstance(value, Ids):
        raise RefusalError(f"to {a['dtype']}: values are fp32")
    return value


def _reshape(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    del graph, name
    return _move(a, lambda view: reshape(view, a["shape"]))


def _expand(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    del graph, name
    return _move(a, lambda view: expand(view, a["shape"]))


def _permute(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    del graph, name
    return _move(a, lambda view: tuple(view[dim] for dim in a["dims"]))


def _transpose(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    del graph, name

    def swap(view: View) -> View:
        order = list(range(len(view)))
        first, second = a["dim0"], a["dim1"]
        order[first], order[second] = order[second], order[first]
        return tuple(view[dim] for dim in order)

    return _move(a, swap)


def _move(a: Arguments, change: Callable[[View], View]) -> Value:
    """Scores of attention are only seen with their axes in order, ids as a whole."""
    value = a["self"]
    if isinstance(value, Rows):
        return Rows(value.name, change(value.view))
    if isinstance(value, Scores) and _strip(a["shape"]) != _strip((value.heads, value.tokens, value.tokens)):
        raise RefusalError("of scores of attention")
    if isinstance(value, Scores | ScoreTest | Ids):
        return value
    raise RefusalError(f"of {type(value).__name__.lower()}")


def _strip(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _select(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    value, dim = _ask_rows(a["self"]), a["dim"]
    size = shape_of(value.view)[dim]
    index = a["index"] % size
    taken = _take(graph, name, value, dim, (index, index + 1))
    return replace(taken, view=taken.view[:dim] + taken.view[dim + 1 :])


def _slice(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    if a["step"] != 1:
        raise RefusalError("with steps")
    if isinstance(a["self"], Ids):
        raise RefusalError("of ids")
    value, dim = _ask_rows(a["self"]), a["dim"]
    size = shape_of(value.view)[dim]
    start, stop, _ = slice(a["start"], a["end"]).indices(size)
    return _take(graph, name, value, dim, (start, stop))


def _split(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    """Into parts of a size, or of several sizes."""
    sizes = a["split_sizes"] if "split_sizes" in a else a["split_size"]
    total = shape_of(_ask_rows(a["self"]).view)[a["dim"]]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    return _cut(graph, name, a, sizes)


def _chunk(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    total = shape_of(_ask_rows(a["self"]).view)[a["dim"]]
    return _split(graph, name, {**a, "split_size": -(-total // a["chunks"])})


def _unbind(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    size = shape_of(_ask_rows(a["self"]).view)[a["dim"]]
    pieces = (_select(graph, f"{name}_{index}", {**a, "index": index}) for index in range(size))
    return Pieces(tuple(pieces))


def _cut(graph: GraphBuilder, name: str, a: Arguments, sizes: Sequence[int]) -> Value:
    value, start, pieces = _ask_rows(a["self"]), 0, []
    for index, size in enumerate(sizes):
        pieces.append(_take(graph, f"{name}_{index}", value, a["dim"], (start, start + size)))
        start += size
    return Pieces(tuple(pieces))


def _take(graph: GraphBuilder, name: str, value: Rows, dim: int, part: tuple[int, int]) -> Rows:
    """Part of an axis: all of it, outputs of a Linear, or one token."""
    axis, size = value.view[dim], shape_of(value.view)[dim]
    if part == (0, size):
        return value
    tokens, channels = graph.tokens_of(value.name), graph.channels_of(value.name)
    if axis[0].along == "channels":
        view, kept = narrow(value.view, dim, *part, channels)
        return graph.slice_linear(value, kept, view, name)
    is_whole = len(axis) == 1 and axis[0].size == tokens and axis[0].along == "tokens"
    if not is_whole or part[1] - part[0] != 1:
        raise RefusalError("of several tokens, but not all")
    view = (*value.view[:dim], (), *value.view[dim + 1 :])
    return graph.add(TakeToken(graph.name(name), (value.name,), channels, part[0]), 1, view)


def _pick(graph: GraphBuilder, name: str, a: Arguments) -> Value:
    del graph, name
    pieces = a["self"]
    if not isinstance(pieces, Pieces):
        return Unknown()
    value: Value = pieces.pieces[a["index"]]
    return value


def _ask_rows(value: Any) -> Rows:
    if not isinstance(value, Rows):
        raise RefusalError(f"of {type(value).__name__.lower()}, which is no value of channels")
    return value


SHAPES: dict[str, Operation] = {
    **dict.fromkeys(
        (
            *("alias", "clone", "contiguous", "detach", "dropout", "lift_fresh_copy"),
            *("to", "_to_copy", "type_as", "native_dropout"),
        ),
        _keep,
    ),
    **dict.fromkeys(
        (
            *("view", "reshape", "_unsafe_view", "flatten", "unflatten"),
            *("squeeze", "unsqueeze"),
        ),
        _reshape,
    ),
    "expand": _expand,
    "permute": _permute,
    "transpose": _transpose,
    "t": lambda graph, name, a: _permute(graph, name, {**a, "dims": [1, 0]}),
    "select": _select,
    "slice": _slice,
    "split": _split,
    "split_with_sizes": _split,
    "chunk": _chunk,
    "unbind": _unbind,
    "getitem": _pick,
}
