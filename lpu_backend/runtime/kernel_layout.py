"""Where the values, operands and numbers of a kernels' program lie."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.runtime.code_linear import CodeLinear
from lpu_backend.runtime.kernel_ops import LANES, MATRIX_FIELDS, OUTPUTS_TOGETHER, Floats, Whole


class Value(NamedTuple):
    """Rows of `width` channels; see `kernel_ops` for the rest."""

    base: int
    stride: int
    offset: int
    width: int

    @property
    def fields(self) -> tuple[int, int, int]:
        return self.base, self.stride, self.offset

    def part(self, first: int, end: int) -> "Value":
        """Some of its channels."""
        return Value(self.base, self.stride, self.offset + first, end - first)


class Operand(NamedTuple):
    base: int
    planes: int
    scales: int
    padded: int

    @property
    def fields(self) -> tuple[int, int, int, int]:
        return self.base, self.planes, self.scales, self.padded


def pad(count: int, multiple: int) -> int:
    """The next multiple."""
    return -(-count // multiple) * multiple


class Room:
    """Columns of the arena. What is taken after a `reset` takes the place of what was before."""

    def __init__(self, kept_columns: int) -> None:
        self.columns = self._kept = self._next = kept_columns
        self.operand_columns = self.operands = 0
        self._next_operand = self._next_index = 0

    def reset(self) -> None:
        self._next, self._next_operand, self._next_index = self._kept, 0, 0

    def take_value(self, width: int) -> Value:
        value = Value(self._next, width, 0, width)
        self._next += width
        self.columns = max(self.columns, self._next)
        return value

    def take_operand(self, width: int, *, is_wide: bool) -> Operand:
        operand = Operand(self._next_operand, 3 if is_wide else 1, self._next_index, pad(width, 2))
        self._next_operand += operand.planes * operand.padded
        self._next_index += 1
        self.operand_columns = max(self.operand_columns, self._next_operand)
        self.operands = max(self.operands, self._next_index)
        return operand


class Stock:
    """A model's numbers, one after the other."""

    def __init__(self) -> None:
        self._codes: list[NDArray[np.int8]] = []
        self._constants: list[Floats] = []
        self._matrices: list[tuple[int, ...]] = []
        self._code_count = self._constant_count = 0
        self.most_outputs = 0

    def add_constants(self, values: Floats | list[float]) -> int:
        """Where they begin."""
        array = np.asarray(values, np.float32).ravel()
        self._constants.append(array)
        self._constant_count += len(array)
        return self._constant_count - len(array)

    def add_matrix(self, linear: CodeLinear) -> int:
        """Its place in the table."""
        outputs, inputs = linear.codes.shape
        padded = np.zeros((pad(outputs, OUTPUTS_TOGETHER), pad(inputs, 2)), np.int8)
        padded[:outputs, :inputs] = linear.codes
        bias = -1 if linear.bias is None else self.add_constants(linear.bias)
        scales = self.add_constants(linear.scales)
        self._matrices.append((outputs, padded.shape[1], self._code_count, scales, bias, int(linear.is_wide)))
        self._codes.append(padded.reshape(-1, LANES, padded.shape[1] // 2, 2).swapaxes(1, 2).ravel())
        self._code_count += padded.size
        self.most_outputs = max(self.most_outputs, outputs)
        return len(self._matrices) - 1

    def join(self) -> tuple[Whole, NDArray[np.int8], Floats]:
        """The table of matrices, the codes and the constants."""
        matrices = np.array(self._matrices, np.int64).reshape(-1, MATRIX_FIELDS)
        return matrices, np.concatenate(self._codes), np.concatenate(self._constants)
