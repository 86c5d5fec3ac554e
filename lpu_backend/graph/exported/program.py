"""Reads a torch.export program, node by node; what it cannot have it refuses by name, all of it at once."""

import operator
from collections.abc import Iterator, Mapping
from typing import Any

from lpu_backend.exceptions import CompileError
from lpu_backend.graph.exported.building import Floats, GraphBuilder
from lpu_backend.graph.exported.operations import OPERATIONS
from lpu_backend.graph.exported.shapes import SHAPES
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
from lpu_backend.graph.exported.views import ViewError, make_view
from lpu_backend.graph.function_graph import FunctionGraph, Input

_OF_INPUTS = Ids | Rows | Scores | Pieces | Statistic | ScoreTest
_CHECKS = ("_assert", "sym_constrain", "sym_size")
"""What torch checks at run time is settled: shapes are fixed."""


def import_program(program: Any, name: str = "program") -> tuple[FunctionGraph, dict[str, Floats]]:
    """A `torch.export.ExportedProgram`, as exported or after `run_decompositions()`: its graph, and fp32 tensors.

    Inputs are ids (integers, for embeddings) or fp32 tensors whose last axis are channels; the axes before, together,
    are tokens. Raises CompileError that lists every operation which is not supported, with its node and why.
    """
    reader = _Reader(program)
    try:
        graph = reader.read(name)
    except RefusalError as error:
        raise CompileError(f"{name}: {error}") from error
    return graph, reader.graph.tensors


class _Reader:
    """`values` has what each torch node is."""

    def __init__(self, program: Any) -> None:
        self.graph = GraphBuilder()
        self._program = program
        self._values: dict[str, Any] = {}
        self._refusals: list[str] = []
        self._outputs: list[str] = []

    def read(self, name: str) -> FunctionGraph:
        import torch

        with torch.no_grad():
            for node in self._program.graph.nodes:
                self._values[node.name] = self._read_node(node)
        if self._refusals:
            raise RefusalError("not supported: " + "; ".join(self._refusals))
        return self.graph.finish(name, self._outputs)

    def _read_node(self, node: Any) -> Any:
        try:
            if node.op == "placeholder":
                return self._read_input(node)
            if node.op == "output":
                return self._read_outputs(node)
            if node.op != "call_function":
                raise RefusalError("is no operation of ATen")
            return self._read_call(node)
        except (RefusalError, ViewError) as error:
            label = _name_operation(node) if node.op == "call_function" else node.op
            self._refusals.append(f"{label} ({node.name}): {error}")
            return Unknown()

    def _read_input(self, node: Any) -> Value:
        signature = self._program.graph_signature
        for names in (
            signature.inputs_to_parameters,
            signature.inputs_to_buffers,
            signature.inputs_to_lifted_tensor_constants,
        ):
            if node.name in names:
                return Known(self._find_tensor(names[node.name]), names[node.name])
        given = node.meta["val"]
        shape = _read_shape(given)
        if not shape:
            raise RefusalError("an input that is no tensor with an axis of channels")
        if given.dtype.is_floating_point:
            self.graph.add_input(Input(node.name, shape[-1]), _count(shape[:-1]))
            return Rows(node.name, make_view(shape))
        self.graph.add_input(Input(node.name), _count(shape))
        return Ids(node.name)

    def _find_tensor(self, name: str) -> Any:
        found = self._program.state_dict.get(name)
        return self._program.constants[name] if found is None else found

    def _read_call(self, node: Any) -> Any:
        label = _name_operation(node)
        name = label.removeprefix("aten.").partition(".")[0]
        if name.startswith(_CHECKS):
            return Unknown()
        operation = OPERATIONS.get(name) or SHAPES.get(name)
        arguments = dict(_bind(node, self._resolve))
        if any(isinstance(each, Unknown) for each in _flatten(arguments.values())):
            if operation is None:
                raise RefusalError("is not supported")
            return Unknown()
        if not any(isinstance(each, _OF_INPUTS) for each in _flatten(arguments.values())):
            return self._fold(node)
        if operation is None:
            raise RefusalError("is not supported")
        return operation(self.graph, node.name, _normalise(node, arguments))

    def _resolve(self, argument: Any) -> Any:
        if hasattr(argument, "op") and hasattr(argument, "target"):
            return self._values[argument.name]
        if isinstance(argument, list | tuple):
            return [self._resolve(each) for each in argument]
        return argument

    def _fold(self, node: Any) -> Any:
        """What depends on no input is computed here, by torch."""
        tags = {str(tag) for tag in getattr(node.target, "tags", ())}
        is_training = any("dropout" in str(node.target) and argument is True for argument in node.args)
        if "Tag.nondeterministic_seeded" in tags and ("dropout" not in str(node.target) or is_training):
            raise RefusalError("is random")
        result = node.target(
            *_to_torch(self._resolve(list(node.args))),
            **{key: _to_torch(self._resolve(value)) for key, value in node.kwargs.items()},
        )
        if isinstance(result, tuple | list):
            return Pieces(tuple(Known(each) for each in result))
        return Known(result) if hasattr(result, "dtype") else result

    def _read_outputs(self, node: Any) -> None:
        kinds = [spec.kind.name for spec in self._program.graph_signature.output_specs]
        for kind, result in zip(kinds, node.args[0], strict=True):
            if kind != "USER_OUTPUT":
                raise RefusalError(f"{result}: {kind.lower()}: a program may not change its buffers or inputs")
            value = self._resolve(result)
            if isinstance(value, Rows) and value.name in self.graph.nodes:
                self.graph.ask_rows(value, "an output")
                self._outputs.append(value.name)
            elif value is not None and not isinstance(value, Unknown):
                raise RefusalError(f"{result}: an output that no operation of the chip gives")


def _name_operation(node: Any) -> str:
    return "getitem" if node.target is operator.getitem else str(node.target)


def _bind(node: Any, resolve: Any) -> Iterator[tuple[str, Any]]:
    """Arguments by the names of the operation's schema, defaults included."""
    if node.target is operator.getitem:
        yield from zip(("self", "index"), (resolve(each) for each in node.args), strict=True)
        return
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        yield from ((str(place), resolve(each)) for place, each in enumerate(node.args))
        return
    for place, argument in enumerate(schema.arguments):
        if place < len(node.args):
            yield argument.name, resolve(node.args[place])
        elif argument.name in node.kwargs:
            yield argument.name, resolve(node.kwargs[argument.name])
        else:
            yield argument.name, argument.default_value


def _normalise(node: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Axes counted from the front; the result's shape as "shape", how many axes the first tensor has as "axes"."""
    normalised = dict(arguments)
    result = node.meta.get("val")
    if hasattr(result, "shape"):
        normalised["shape"] = _read_shape(result)
    first = next((each for each in node.args if hasattr(each, "meta")), None)
    axes = getattr(first.meta.get("val") if first is not None else None, "ndim", 0)
    normalised["axes"] = axes
    for key in ("dim", "dim0", "dim1"):
        if isinstance(normalised.get(key), int) and axes:
            normalised[key] %= axes
    if isinstance(normalised.get("dims"), list) and axes:
        normalised["dims"] = [dim % axes for dim in normalised["dims"]]
    normalised.setdefault("alpha", 1)
    return normalised


def _read_shape(tensor: Any) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    if not all(type(size) is int for size in shape):
        raise RefusalError(f"the shape {list(map(str, shape))} is dynamic: export with fixed shapes")
    return shape


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _flatten(arguments: Any) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, list | tuple):
            yield from _flatten(argument)
        else:
            yield argument


def _to_torch(argument: Any) -> Any:
    if isinstance(argument, Known):
        return argument.tensor
    return [_to_torch(each) for each in argument] if isinstance(argument, list) else argument
