"""Every 128-bit word carries check bits: one wrong bit is corrected and counted, two stop the program."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.assembly import assemble
from lpu_backend.hazards import HazardError, HazardKind
from lpu_backend.machine import Machine
from tests.lpu_backend.small_chip import LANES, SMALL_CHIP

COPY = assemble(
    """
.input x uint8[1, 32] MEM_W1 0x0
.output y uint8[1, 32] MEM_E1 0x1
.output again uint8[1, 32] MEM_E2 0x1
queue MEM_W1
    Read 0x0, E0
    Read 0x0, E0
queue MEM_E1
@9  Write 0x1, E0
queue MEM_E2
@11 Write 0x1, E0
""",
    SMALL_CHIP,
)
BITS = st.integers(0, 136)
TILES = st.integers(0, SMALL_CHIP.tiles - 1)
VECTORS = st.binary(min_size=LANES, max_size=LANES)


def machine_with(data: bytes) -> tuple[Machine, np.ndarray]:
    machine = Machine(COPY, SMALL_CHIP)
    x = np.frombuffer(data, np.uint8).reshape(1, LANES)
    machine.write("x", x)
    return machine, x


@settings(max_examples=100, deadline=None)
@given(VECTORS, st.lists(BITS, min_size=SMALL_CHIP.tiles, max_size=SMALL_CHIP.tiles))
def test_one_flipped_bit_in_each_word_is_corrected_wherever_it_is_used(data: bytes, bits: list[int]) -> None:
    machine, x = machine_with(data)
    for tile, bit in enumerate(bits):
        machine.flip_bits(0, "MEM_W1", 0, tile, [bit])
    run = machine.run()
    np.testing.assert_array_equal(run.outputs["y"], x)
    np.testing.assert_array_equal(run.outputs["again"], x)
    assert run.corrected_bits == 2 * SMALL_CHIP.tiles  # read twice, and memory keeps its wrong bit


@settings(max_examples=100, deadline=None)
@given(VECTORS, TILES, st.lists(BITS, min_size=2, max_size=2, unique=True))
def test_two_flipped_bits_in_a_word_stop_the_program(data: bytes, tile: int, bits: list[int]) -> None:
    machine, _ = machine_with(data)
    machine.flip_bits(0, "MEM_W1", 0, tile, bits)
    with pytest.raises(HazardError, match=f"tile {tile}") as caught:
        machine.run()
    hazard = caught.value.hazard
    assert (hazard.kind, hazard.cycle, hazard.queue) == (HazardKind.ECC, 9, "MEM_E1")


def test_a_bit_that_flips_twice_is_right_again() -> None:
    machine, x = machine_with(bytes(range(LANES)))
    machine.flip_bits(0, "MEM_W1", 0, 0, [5])
    machine.flip_bits(0, "MEM_W1", 0, 0, [5])
    run = machine.run()
    np.testing.assert_array_equal(run.outputs["y"], x)
    assert run.corrected_bits == 0


def test_a_wrong_bit_that_nobody_reads_stops_nothing() -> None:
    text = ".input x uint8[1, 32] MEM_W1 0x0\nqueue MEM_W1\n Read 0x0, E0"
    machine = Machine(assemble(text, SMALL_CHIP), SMALL_CHIP)
    machine.write("x", np.zeros((1, LANES), np.uint8))
    machine.flip_bits(0, "MEM_W1", 0, 0, [1, 2])
    assert machine.run().corrected_bits == 0


def test_flips_need_a_word_that_was_written() -> None:
    with pytest.raises(KeyError):
        machine_with(bytes(LANES))[0].flip_bits(0, "MEM_W1", 9, 0, [1])
