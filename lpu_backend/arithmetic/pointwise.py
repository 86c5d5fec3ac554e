"""What a VXM ALU computes in a lane: the operations and conversions of `lpu_backend.isa`, on whole arrays.

fp16 and fp32 operations are those of IEEE 754, rounded once to nearest even. A NaN that is computed is always the
same quiet one (0x7e00, 0x7fc00000), as hosts choose theirs differently; Copy, Negate, Abs and Mask only move bits.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic import functions
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.isa.instructions import BinaryOp, UnaryOp
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.validity import FLOAT_OPS, INTEGER_OPS

Values = NDArray[Any]
_Unary = Callable[[Values], Values]
_Binary = Callable[[Values, Values], Values]


class OperationTypeError(LpuBackendError):
    """An operation on an element type that it is not for."""


def is_defined(op: UnaryOp | BinaryOp, dtype: DataType) -> bool:
    """Whether a VXM ALU has `op` for `dtype`: bits are of integers, transcendental functions of floats."""
    return op not in (INTEGER_OPS if dtype.is_float else FLOAT_OPS)


def apply_unary(op: UnaryOp, dtype: DataType, x: Values) -> Values:
    """`op` of each element of `x`, an array of `dtype` of any shape but (). Raises OperationTypeError.

    Negate and Abs of integers wrap. ReLU gives +0 for both zeros and NaN for NaN.
    """
    operation = _UNARY.get((op, dtype))
    if operation is None:
        raise OperationTypeError(f"{op}.{dtype.value} is no operation")
    return operation(x)


def apply_binary(op: BinaryOp, dtype: DataType, left: Values, right: Values) -> Values:
    """`op` of the elements of `left` and `right`, of `dtype`, broadcast together. Raises OperationTypeError.

    Of two zeros of either sign Max gives +0 if it can, Min -0. A NaN is neither greater than nor equal to anything.
    """
    operation = _BINARY.get((op, dtype))
    if operation is None:
        raise OperationTypeError(f"{op}.{dtype.value} is no operation")
    return operation(left, right)


def convert(to_type: DataType, x: Values) -> Values:
    """`x`, any shape, to the nearest of `to_type`, ties to even; integers saturate, and NaN gives 0 in them."""
    with np.errstate(all="ignore"):  # a signalling NaN is invalid already when it is widened
        wide = x.astype(np.float64)  # every type fits, so what follows rounds once
        if to_type.is_float:
            return _unify_nan(wide.astype(to_type.numpy))
        whole = np.rint(wide)
        whole[wide != wide] = 0.0
        return _saturate(whole, to_type.numpy)


@lru_cache(maxsize=4096)
def immediate(bits: int, dtype: DataType) -> Values:
    """One element of `dtype` in an array of shape [1], which broadcasts: the low bits of `bits`. Not writable."""
    return np.frombuffer((bits & 0xFFFFFFFF).to_bytes(4, "little"), dtype.numpy, count=1)


def _unify_nan(values: Values) -> Values:
    is_nan = values != values
    if np.count_nonzero(is_nan):
        values[is_nan] = np.nan
    return values


def _saturate(values: Values, dtype: np.dtype[Any]) -> Values:
    least, most = _BOUNDS[dtype, values.dtype]
    bounded: Values = np.minimum(np.maximum(values, least), most)
    return bounded.astype(dtype)


def _saturating(operation: _Binary) -> _Binary:
    def apply(left: Values, right: Values) -> Values:
        return _saturate(operation(left.astype(np.int64), right.astype(np.int64)), left.dtype)

    return apply


def _comparing(compare: _Binary) -> _Binary:
    def apply(left: Values, right: Values) -> Values:
        return compare(left, right).astype(left.dtype)

    return apply


def _mask(left: Values, right: Values) -> Values:
    return np.where(right != 0, left, left.dtype.type(0))


def _shift_left(left: Values, right: Values) -> Values:
    width = 8 * left.itemsize
    unsigned = f"u{left.itemsize}"
    shifted: Values = left.view(unsigned) << (right & (width - 1)).view(unsigned)
    return shifted.view(left.dtype)


def _shift_right(left: Values, right: Values) -> Values:
    shifted: Values = np.right_shift(left, right & (8 * left.itemsize - 1))
    return shifted


def _max_float(left: Values, right: Values) -> Values:
    return _settle_ties(np.maximum(left, right), left, right, np.bitwise_and)


def _min_float(left: Values, right: Values) -> Values:
    return _settle_ties(np.minimum(left, right), left, right, np.bitwise_or)


def _settle_ties(result: Values, left: Values, right: Values, join: _Binary) -> Values:
    """Equal elements have equal bits but for the sign of zero, on which hosts differ."""
    bits = f"u{result.itemsize}"
    np.copyto(result.view(bits), join(left.view(bits), right.view(bits)), where=left == right)
    return result


def _relu(x: Values) -> Values:
    positive: Values = np.maximum(x, x.dtype.type(0))
    return positive


def _relu_float(x: Values) -> Values:
    positive = _relu(x)
    positive += x.dtype.type(0)  # makes -0 +0
    return positive


def _in_float32(function: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> _Unary:
    def apply(x: Values) -> Values:
        return function(x.astype(np.float32, copy=False)).astype(x.dtype, copy=False)

    return apply


def _ieee_unary(operation: _Unary) -> _Unary:
    def apply(x: Values) -> Values:
        with np.errstate(all="ignore"):
            return _unify_nan(operation(x))

    return apply


def _ieee_binary(operation: _Binary) -> _Binary:
    def apply(left: Values, right: Values) -> Values:
        with np.errstate(all="ignore"):
            return _unify_nan(operation(left, right))

    return apply


_MOVES: dict[UnaryOp, _Unary] = {"Copy": np.copy, "Negate": np.negative, "Abs": np.abs}
_INTEGER_UNARY = _MOVES | {"Not": np.invert, "ReLU": _relu}
_FLOAT_UNARY = _MOVES | {
    "ReLU": _ieee_unary(_relu_float),
    "TanH": _ieee_unary(_in_float32(functions.tanh)),
    "Exp": _ieee_unary(_in_float32(functions.exp)),
    "RSqrt": _ieee_unary(_in_float32(functions.rsqrt)),
}
_COMPARISONS: dict[BinaryOp, _Binary] = {
    "Gt": _comparing(np.greater),
    "Ge": _comparing(np.greater_equal),
    "Eq": _comparing(np.equal),
}
_INTEGER_BINARY: dict[BinaryOp, _Binary] = _COMPARISONS | {
    "Mask": _mask,
    "Add": np.add,
    "AddSat": _saturating(np.add),
    "Sub": np.subtract,
    "SubSat": _saturating(np.subtract),
    "Mul": np.multiply,
    "MulSat": _saturating(np.multiply),
    "Max": np.maximum,
    "Min": np.minimum,
    "And": np.bitwise_and,
    "Or": np.bitwise_or,
    "Xor": np.bitwise_xor,
    "Shl": _shift_left,
    "Shr": _shift_right,
}
_FLOAT_BINARY: dict[BinaryOp, _Binary] = {op: _ieee_binary(compare) for op, compare in _COMPARISONS.items()} | {
    "Mask": _mask,
    "Add": _ieee_binary(np.add),
    "AddSat": _ieee_binary(np.add),
    "Sub": _ieee_binary(np.subtract),
    "SubSat": _ieee_binary(np.subtract),
    "Mul": _ieee_binary(np.multiply),
    "MulSat": _ieee_binary(np.multiply),
    "Max": _ieee_binary(_max_float),
    "Min": _ieee_binary(_min_float),
}
_UNARY = {
    (op, dtype): operation
    for dtype in DataType
    for op, operation in (_FLOAT_UNARY if dtype.is_float else _INTEGER_UNARY).items()
}
_BINARY = {
    (op, dtype): operation
    for dtype in DataType
    for op, operation in (_FLOAT_BINARY if dtype.is_float else _INTEGER_BINARY).items()
}
_BOUNDS = {
    (dtype.numpy, np.dtype(wide)): (wide(least), wide(most))
    for dtype, (least, most) in {
        DataType.INT8: (-(1 << 7), (1 << 7) - 1),
        DataType.UINT8: (0, (1 << 8) - 1),
        DataType.INT16: (-(1 << 15), (1 << 15) - 1),
        DataType.UINT16: (0, (1 << 16) - 1),
        DataType.INT32: (-(1 << 31), (1 << 31) - 1),
    }.items()
    for wide in (np.int64, np.float64)
}
