"""Numbers in a text: plain integers, and values of the element types, which read back to the same bits."""

import math
import re
import struct
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lpu_backend.assembly.errors import TextError
from lpu_backend.isa.operands import DataType

_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")
_BITS = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf)|nan")
_FLOAT_STRUCTS = {DataType.FP16: struct.Struct("<e"), DataType.FP32: struct.Struct("<f")}


def parse_integer(text: str) -> int:
    """A decimal or, after 0x, hexadecimal integer. TextError for anything else."""
    if not _INTEGER.fullmatch(text):
        raise TextError(f"expected an integer, not `{text}`")
    return int(text, 16) if "x" in text.lower() else int(text)


@lru_cache(maxsize=65_536)
def parse_value(text: str, dtype: DataType, bits: int) -> int:
    """The bits of a number of `dtype`, or those that a hexadecimal literal of at most `bits` bits names itself.

    A float is rounded to nearest, ties to even. TextError for what is no number or is out of range.
    """
    if _BITS.fullmatch(text):
        if (literal := int(text, 16)) >> bits:
            raise TextError(f"`{text}` has more than {bits} bits")
        return literal
    return _parse_float(text, dtype) if dtype.is_float else _parse_element(text, dtype)


def _parse_element(text: str, dtype: DataType) -> int:
    if not _INTEGER.fullmatch(text) or "x" in text.lower():
        raise TextError(f"expected a number of type {dtype.value}, not `{text}`")
    limits = np.iinfo(dtype.numpy.name)
    if not limits.min <= int(text) <= limits.max:
        raise TextError(f"`{text}` does not fit {dtype.value}, which is {limits.min} to {limits.max}")
    return int(text) % (1 << 8 * dtype.streams)


def _parse_float(text: str, dtype: DataType) -> int:
    if not _FLOAT.fullmatch(text):
        raise TextError(f"expected a number of type {dtype.value}, not `{text}`")
    value = float(text)
    try:
        if math.isinf(value) and "inf" not in text:
            raise OverflowError
        return int.from_bytes(_FLOAT_STRUCTS[dtype].pack(value), "little")
    except OverflowError:
        raise TextError(f"`{text}` is too large for {dtype.value}") from None


@lru_cache(maxsize=65_536)
def format_value(bits: int, dtype: DataType) -> str:
    """The shortest number of `dtype` that reads back to these bits, or the bits where there is none."""
    width_bits = 8 * dtype.streams
    if 0 <= bits < 1 << width_bits:
        text = str(np.frombuffer(bits.to_bytes(dtype.streams, "little"), dtype=dtype.numpy)[0])
        if parse_value(text, dtype, width_bits) == bits:
            return text
    return f"0x{bits:0{width_bits // 4}x}"


def parse_values(texts: Iterable[str], dtype: DataType) -> bytes:
    """A constant's data from its literals, which have no more bits than the type."""
    bits = [parse_value(text, dtype, 8 * dtype.streams) for text in texts]
    return np.array(bits, dtype=f"<u{dtype.streams}").tobytes()


def format_values(values: NDArray[np.generic], dtype: DataType) -> list[str]:
    """The literals of an array of `dtype`, in its order."""
    bits = np.ascontiguousarray(values).view(f"<u{dtype.streams}").ravel()
    return [format_value(value, dtype) for value in bits.tolist()]
