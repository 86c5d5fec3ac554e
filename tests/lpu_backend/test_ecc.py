"""The check bits against a code made of integers, and against every one and two wrong bits."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpu_backend.arithmetic.ecc import decode, encode_check_bits

WORD_BITS = 137
WORDS = st.binary(min_size=16, max_size=16)
FIXED_WORDS = [bytes(16), b"\xff" * 16, bytes(range(16)), b"\x80" + bytes(14) + b"\x01"]
Flipped = tuple[NDArray[np.uint8], NDArray[np.uint16]]


def flip(word: bytes, flips: list[tuple[int, ...]]) -> Flipped:
    """For each entry of `flips` the word and its check bits, with those of the 137 bits wrong."""
    masks = [sum(1 << bit for bit in bits) for bits in flips]
    check_bits = int(encode_check_bits(np.frombuffer(word, np.uint8)))
    codes = [(int.from_bytes(word, "little") | check_bits << 128) ^ mask for mask in masks]
    data = b"".join((code & ((1 << 128) - 1)).to_bytes(16, "little") for code in codes)
    return np.frombuffer(data, np.uint8).reshape(-1, 16), np.array([code >> 128 for code in codes], np.uint16)


@given(WORDS)
@settings(max_examples=50, deadline=None)
def test_a_word_without_wrong_bits_is_left_as_it_is(word: bytes) -> None:
    decoded = decode(*flip(word, [()]))
    assert decoded.words.tobytes() == word
    assert not decoded.corrected.any()
    assert not decoded.uncorrectable.any()


@given(WORDS)
@settings(max_examples=20, deadline=None)
def test_any_one_wrong_bit_is_corrected(word: bytes) -> None:
    decoded = decode(*flip(word, [(bit,) for bit in range(WORD_BITS)]))
    assert decoded.words.tobytes() == word * WORD_BITS
    assert decoded.corrected.all()
    assert not decoded.uncorrectable.any()


@pytest.mark.parametrize("word", FIXED_WORDS)
def test_any_two_wrong_bits_are_detected(word: bytes) -> None:
    words, check_bits = flip(word, list(combinations(range(WORD_BITS), 2)))
    decoded = decode(words, check_bits)
    assert decoded.uncorrectable.all()
    assert not decoded.corrected.any()
    assert decoded.words.tobytes() == words.tobytes()


@given(WORDS, st.lists(st.integers(0, WORD_BITS - 1), min_size=2, max_size=2, unique=True))
@settings(max_examples=50, deadline=None)
def test_two_wrong_bits_of_any_word_are_detected(word: bytes, bits: list[int]) -> None:
    assert decode(*flip(word, [tuple(bits)])).uncorrectable.tolist() == [True]


def test_every_check_bit_is_the_parity_of_the_data_bits_it_covers() -> None:
    rng = np.random.default_rng(4)
    columns = encode_check_bits(np.packbits(np.eye(128, dtype=np.uint8), axis=1, bitorder="little")).tolist()
    assert len(set(columns)) == 128
    assert {column.bit_count() for column in columns} == {3, 5}
    for words in rng.integers(0, 256, (20, 16)).astype(np.uint8):
        ones = np.unpackbits(words, bitorder="little").tolist()
        expected = 0
        for column, one in zip(columns, ones, strict=True):
            expected ^= column * one
        assert int(encode_check_bits(words)) == expected


def test_words_of_any_shape_are_decoded_each_for_itself() -> None:
    words = np.random.default_rng(5).integers(0, 256, (2, 20, 16)).astype(np.uint8)
    check_bits = encode_check_bits(words)
    assert check_bits.shape == (2, 20)
    assert check_bits.dtype == np.uint16
    wrong, wrong_checks = words.copy(), check_bits.copy()
    wrong[0, 3, 7] ^= 0x10  # one bit
    wrong[1, 4, 0] ^= 0x81  # two bits
    wrong_checks[1, 19] ^= 0x100  # one check bit
    given = wrong.copy()
    decoded = decode(wrong, wrong_checks)
    assert np.argwhere(decoded.corrected).tolist() == [[0, 3], [1, 19]]
    assert np.argwhere(decoded.uncorrectable).tolist() == [[1, 4]]
    assert wrong.tolist() == given.tolist()
    words[1, 4] = wrong[1, 4]
    assert decoded.words.tolist() == words.tolist()


def test_one_word_alone_is_decoded() -> None:
    word = np.arange(16, dtype=np.uint8)
    wrong = word.copy()
    wrong[15] ^= 0x80
    decoded = decode(wrong, encode_check_bits(word))
    assert decoded.words.tolist() == word.tolist()
    assert decoded.corrected
    assert not decoded.uncorrectable
