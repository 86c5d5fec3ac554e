"""The grammar of an answer that may, or must, call functions: their names and arguments are valid by construction."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lpu_backend.constraints import JSON_WHITESPACE
from lpu_backend.tool_calls.formats import ToolFormat
from lpu_backend.types import Constraint

_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
# A schema that says with one of these what it is needs no type beside it.
_DECIDES_TYPE = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"})


def constrain_calls(
    tool_format: ToolFormat, tools: Sequence[Mapping[str, Any]], *, is_forced: bool, is_parallel: bool
) -> Constraint:
    """Calls of these functions: nothing else if forced, wherever the text has one if not.

    `check_constraint` of each tool's `constrain_arguments` says whether they can be kept.
    """
    many, once = (
        (tool_format.forced, tool_format.forced_once) if is_forced else (tool_format.free, tool_format.free_once)
    )
    lines = [many if is_parallel else once, f"object: {' | '.join(f'f{i}' for i in range(len(tools)))}"]
    for i, tool in enumerate(tools):
        function = tool["function"]
        beginning = f'{{"name": {json.dumps(function["name"])}, "{tool_format.arguments_key}": '
        schema = json.dumps(_schema_of(function.get("parameters")), ensure_ascii=False)
        lines += [f'f{i}: {json.dumps(beginning)} a{i} "}}"', f"a{i}: %json {schema}"]
    return Constraint("grammar", "\n".join(lines))


def constrain_arguments(tool: Mapping[str, Any]) -> Constraint:
    """What the arguments of one function are held to."""
    return Constraint("json_schema", json.dumps(_schema_of(tool["function"].get("parameters")), ensure_ascii=False))


def _schema_of(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments are an object. A schema keeps its own root, so that its references go on pointing into it."""
    schema = dict(parameters or _NO_ARGUMENTS)
    if not _DECIDES_TYPE & schema.keys():
        schema["type"] = "object"
    return {**schema, "x-guidance": {"whitespace_pattern": JSON_WHITESPACE}}
