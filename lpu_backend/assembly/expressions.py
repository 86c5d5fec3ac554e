"""Integer expressions of macros and of `each`. Nothing but the operators below is evaluated."""

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from lpu_backend.assembly.errors import TextError

MAX_LENGTH = 300
MAX_BITS = 63
"""Bits of a value without its sign, and of a shift's distance: a text cannot ask for a number that fills the memory."""


def _check_shift(places: Any) -> None:
    if np.min(places) < 0 or np.max(places) > MAX_BITS:
        raise TextError(f"expected a shift by 0 to {MAX_BITS}")


def _shift_left(value: Any, places: Any) -> Any:
    _check_shift(places)
    return value << places


def _shift_right(value: Any, places: Any) -> Any:
    _check_shift(places)
    return value >> places


def _least(*values: Any) -> Any:
    return reduce(np.minimum, values) if any(isinstance(value, np.ndarray) for value in values) else min(values)


def _greatest(*values: Any) -> Any:
    return reduce(np.maximum, values) if any(isinstance(value, np.ndarray) for value in values) else max(values)


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.LShift: _shift_left,
    ast.RShift: _shift_right,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"min": _least, "max": _greatest}


@lru_cache(maxsize=4_096)
def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise TextError(f"expected an expression of at most {MAX_LENGTH} characters")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise TextError(f"expected an expression, not `{text.strip()}`") from None


def _evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value) if type(value) is int:
            return value
        case ast.Name(id=name):
            return _look_up(name, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_evaluate(left, names), _evaluate(right, names))
        case ast.UnaryOp(op=unary, operand=operand) if type(unary) in _UNARY:
            return _UNARY[type(unary)](_evaluate(operand, names))
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as values, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_evaluate(value, names) for value in values))
        case _:
            raise TextError(
                f"expected integers, names, + - * // % ^ & | ~ << >>, min or max, not `{ast.unparse(node)}`"
            )


def _look_up(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        raise TextError(f"expected a name that .let or .for defines, not `{name}`")
    return names[name]


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression: an int, or, where a name stands for an array of Python ints, such an array.

    TextError for anything that is no expression of integers, for a division by zero and for values above MAX_BITS.
    """
    try:
        value = _evaluate(_parse(text), names)
    except ZeroDivisionError:
        raise TextError(f"division by zero in `{text.strip()}`") from None
    if abs(value) >> MAX_BITS if isinstance(value, int) else np.any(np.greater(abs(value), (1 << MAX_BITS) - 1)):
        raise TextError(f"`{text.strip()}` has more than {MAX_BITS} bits")
    return value


def evaluate_integer(text: str, names: Mapping[str, Any]) -> int:
    """The value of an expression whose names are all ints."""
    return int(evaluate(text, names))
