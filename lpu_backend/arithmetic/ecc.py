"""The check bits of a word: 9 for 128 bits, which correct one wrong bit of the 137 and detect two.

The code is Hsiao's (IBM Journal of Research and Development 14, 1970, doi 10.1147/rd.144.0395). That the chip uses it
is assumed; the number of check bits follows from the word's. Data bit b, which is bit b mod 8 of byte b // 8, has the
b-th of the columns below; check bit i, bit 128 + i of the word, has 2^i. The check bits are the exclusive or of the
columns of the data bits that are one. Every column is different and has an odd number of ones, so one wrong bit leaves
its own column and two leave an even number of ones, which is no column and not zero.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORD_BYTES = 16
DATA_BITS = 8 * WORD_BYTES
CHECK_BITS = 9

_NO_ERROR = -1
_UNCORRECTABLE = -2


class Decoded(NamedTuple):
    """Words of [..., 16] bytes after correction, and for each whether a bit was corrected or more are wrong.

    A word that is uncorrectable is as it was. Where no bit is wrong `words` is the array that was decoded.
    """

    words: NDArray[np.uint8]
    corrected: NDArray[np.bool_]
    uncorrectable: NDArray[np.bool_]


def encode_check_bits(words: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The check bits of words of [..., 16] bytes, as [...] in the low 9 bits."""
    check_bits: NDArray[np.uint16] = np.bitwise_xor.reduce(_BYTE_TABLE[words + _BYTE_OFFSETS], axis=-1)
    return check_bits


def decode(words: NDArray[np.uint8], check_bits: NDArray[np.uint16]) -> Decoded:
    """Words of [..., 16] bytes, corrected by their check bits of [...]. What is given stays as it is."""
    syndromes = encode_check_bits(words) ^ check_bits
    if not np.count_nonzero(syndromes):
        none = np.zeros(syndromes.shape, np.bool_)
        return Decoded(words, none, none)
    wrong_bits = _WRONG_BIT[syndromes]
    repaired = words.reshape(-1, WORD_BYTES).copy()
    rows = np.flatnonzero((wrong_bits >= 0) & (wrong_bits < DATA_BITS))
    bits = np.ravel(wrong_bits)[rows]
    repaired[rows, bits >> 3] ^= (1 << (bits & 7)).astype(np.uint8)
    return Decoded(repaired.reshape(words.shape), wrong_bits >= 0, wrong_bits == _UNCORRECTABLE)


def _choose_columns() -> list[int]:
    """All 84 columns of three ones, then 44 of five, taken so that every check bit covers as many data bits."""
    columns = [column for column in range(1 << CHECK_BITS) if column.bit_count() == 3]
    fives = [column for column in range(1 << CHECK_BITS) if column.bit_count() == 5]
    covered = [0] * CHECK_BITS
    while len(columns) < DATA_BITS:
        best = min(fives, key=lambda column: sorted(_cover(covered, column), reverse=True))
        fives.remove(best)
        columns.append(best)
        covered = _cover(covered, best)
    return columns


def _cover(covered: list[int], column: int) -> list[int]:
    return [count + (column >> i & 1) for i, count in enumerate(covered)]


def _make_byte_table(columns: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """[16 x 256]: what byte i of a word adds to the check bits if it is v, at 256 i + v."""
    ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.bool_)
    per_bit = np.where(ones, columns.reshape(WORD_BYTES, 1, 8), np.uint16(0))
    table: NDArray[np.uint16] = np.bitwise_xor.reduce(per_bit, axis=-1).ravel()
    return table


def _find_wrong_bits(columns: NDArray[np.uint16]) -> NDArray[np.int64]:
    """[512]: for each syndrome the bit of the 137 that is wrong."""
    wrong_bits = np.full(1 << CHECK_BITS, _UNCORRECTABLE)
    wrong_bits[0] = _NO_ERROR
    wrong_bits[columns] = np.arange(DATA_BITS)
    wrong_bits[1 << np.arange(CHECK_BITS)] = DATA_BITS + np.arange(CHECK_BITS)
    return wrong_bits


_COLUMNS = np.array(_choose_columns(), np.uint16)
_BYTE_TABLE = _make_byte_table(_COLUMNS)
_BYTE_OFFSETS = np.arange(WORD_BYTES) << 8
_WRONG_BIT = _find_wrong_bits(_COLUMNS)
