"""The matrix programs, vector-add and the programs for several chips: bits, cycles, and the checker's word on them."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend import programs
from lpu_backend.checker import check_program
from lpu_backend.machine import Run, run_program
from lpu_backend.programs.catalogue import EXAMPLES, load_example
from lpu_backend.programs.exact_sums import multiply_exactly, round_to_fp32
from lpu_backend.programs.references_mxm import MXM_EXAMPLES, make_matvec
from lpu_backend.programs.tiled_weights import (
    INPUTS,
    OUTPUTS,
    lay_out_fp16,
    lay_out_int8,
    lay_out_tile,
    number,
    restore,
)

TEXTS = Path(programs.__file__).parent / "texts"
NAMES = sorted(MXM_EXAMPLES)
SEVERAL_CHIPS = {"send-and-add": 2, "all-reduce-8": 8}
MATVECS = {
    "matvec-int8-320": ((320, 320), lay_out_tile),
    "matvec-int8-1280x960": ((OUTPUTS, INPUTS), lay_out_int8),
    "matvec-fp16-320": ((320, 320), lay_out_tile),
    "matvec-fp16-1280x960": ((OUTPUTS, INPUTS), lay_out_fp16),
}
INT8_MATVECS = sorted(name for name in MATVECS if "int8" in name)
FP16_MATVECS = sorted(name for name in MATVECS if "fp16" in name)

Inputs = dict[str, NDArray[np.generic]]


def assert_as_expected(name: str, inputs: Inputs, run: Run) -> None:
    """Bit for bit, so that -0 is not 0."""
    expected = EXAMPLES[name].expect(inputs)
    assert sorted(run.outputs) == sorted(expected)
    for region, wanted in expected.items():
        assert run.outputs[region].dtype == wanted.dtype
        assert run.outputs[region].shape == wanted.shape
        assert run.outputs[region].tobytes() == wanted.tobytes(), region
    assert run.cycles == EXAMPLES[name].cycles


def make_matvec_inputs(name: str, draw: Callable[..., NDArray[np.generic]]) -> Inputs:
    shape, lay_out = MATVECS[name]
    return make_matvec(draw(shape), draw(shape[1]), lay_out)


def draw_finite_fp16(generator: np.random.Generator, size: int | tuple[int, int]) -> NDArray[np.float16]:
    """Any finite bits, subnormal, zero and negative zero among them, as likely as any other."""
    signs = generator.integers(0, 2, size, dtype=np.uint16) << 15
    return (signs | generator.integers(0, 0x7C00, size, dtype=np.uint16)).view(np.float16)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_program_gives_the_reference_bits_in_the_derived_cycles(name: str, seed: int) -> None:
    inputs = EXAMPLES[name].make_inputs(np.random.default_rng(seed))
    assert_as_expected(name, inputs, run_program(load_example(name), inputs))


@pytest.mark.parametrize("name", NAMES)
def test_the_checker_passes_a_program_with_the_cycles_that_the_machine_takes(name: str) -> None:
    inputs = EXAMPLES[name].make_inputs(np.random.default_rng(3))
    run = run_program(load_example(name), inputs)
    schedule = check_program(load_example(name))
    assert (schedule.cycles, schedule.dispatched) == (run.cycles, run.dispatched)
    assert schedule.cycles == EXAMPLES[name].cycles


@pytest.mark.parametrize("name", NAMES)
def test_a_text_states_its_cycles(name: str) -> None:
    assert f"+ 20 tiles = {EXAMPLES[name].cycles} cycles." in (TEXTS / f"{name}.lpu").read_text(encoding="utf-8")
    assert load_example(name).name == name


@pytest.mark.parametrize("name", ["vector-add", "send-and-add"])
def test_sums_saturate(name: str) -> None:
    x, y = np.meshgrid(np.array([-128, -127, -1, 0, 1, 126, 127], np.int8), np.arange(-128, 128, 6, dtype=np.int8))
    inputs: Inputs = {"x": np.resize(x, (1, 320)), "y": np.resize(y, (1, 320))}
    run = run_program(load_example(name), inputs)
    assert {-128, 127} <= set(run.outputs["z"].ravel().tolist())
    assert_as_expected(name, inputs, run)


@pytest.mark.parametrize("name", INT8_MATVECS)
def test_an_int8_product_is_exact_at_the_ends_of_the_range(name: str) -> None:
    everywhere = make_matvec_inputs(name, lambda size: np.full(size, -128, np.int8))
    run = run_program(load_example(name), everywhere)
    assert set(run.outputs["y"].ravel().tolist()) == {MATVECS[name][0][1] * 128 * 128}
    assert_as_expected(name, everywhere, run)

    generator = np.random.default_rng(4)
    mixed = make_matvec_inputs(name, lambda size: generator.choice(np.array([-128, 127], np.int8), size))
    assert_as_expected(name, mixed, run_program(load_example(name), mixed))


@pytest.mark.parametrize("name", FP16_MATVECS)
def test_an_fp16_product_is_exact_for_any_finite_bits(name: str) -> None:
    generator = np.random.default_rng(5)
    inputs = make_matvec_inputs(name, lambda size: draw_finite_fp16(generator, size))
    assert_as_expected(name, inputs, run_program(load_example(name), inputs))


@pytest.mark.parametrize("name", FP16_MATVECS)
def test_an_fp16_product_is_exact_at_the_ends_of_the_range(name: str) -> None:
    generator = np.random.default_rng(6)
    ends = np.array([65504, -65504, 2**-24, -(2**-24), 0, -0.0, 1, 2048], np.float16)
    inputs = make_matvec_inputs(name, lambda size: generator.choice(ends, size))
    assert_as_expected(name, inputs, run_program(load_example(name), inputs))


def test_a_sum_over_chips_is_exact_for_subnormal_zero_and_large_numbers() -> None:
    generator = np.random.default_rng(7)
    bits = generator.integers(0, 0x7D80_0000, (8, 1, 320), dtype=np.uint32)  # below 2 ** 124, so that no sum overflows
    bits[generator.integers(0, 2, bits.shape) == 1] %= 1 << 24  # half of them near or below the smallest normal one
    bits |= generator.integers(0, 2, bits.shape, dtype=np.uint32) << 31
    inputs: Inputs = {f"v{chip}": vector.view(np.float32) for chip, vector in enumerate(bits)}
    assert_as_expected("all-reduce-8", inputs, run_program(load_example("all-reduce-8"), inputs))


def test_every_chip_ends_with_the_same_bits() -> None:
    inputs = EXAMPLES["all-reduce-8"].make_inputs(np.random.default_rng(8))
    outputs = run_program(load_example("all-reduce-8"), inputs).outputs
    assert len(outputs) == 8
    assert len({sums.tobytes() for sums in outputs.values()}) == 1


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("name", sorted(SEVERAL_CHIPS))
def test_jitter_boot_skew_and_drift_change_neither_bits_nor_cycles(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    inputs = EXAMPLES[name].make_inputs(generator)
    boot_skew_cycles = generator.integers(0, 252, SEVERAL_CHIPS[name]).tolist()
    drift_ppm = generator.uniform(-100, 100, SEVERAL_CHIPS[name]).tolist()
    run = run_program(
        load_example(name), inputs, link_seed=seed, boot_skew_cycles=boot_skew_cycles, drift_ppm=drift_ppm
    )
    assert_as_expected(name, inputs, run)


def test_every_text_is_an_example() -> None:
    assert {path.stem for path in TEXTS.glob("*.lpu")} == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(MATVECS))
def test_weights_are_restored_from_their_regions(name: str) -> None:
    shape, lay_out = MATVECS[name]
    regions = lay_out(number(shape))
    assert sum(rows.size for rows in regions.values()) == shape[0] * shape[1]
    assert np.array_equal(restore(regions, regions, shape), number(shape))


def test_the_reference_rounds_as_ieee_does() -> None:
    generator = np.random.default_rng(9)
    integers = [0, *(int(i) >> int(s) for i, s in generator.integers([[-(2**53)], [0]], [[2**53], [50]], (2, 500)).T)]
    ties = [sign * ((kept << 1) + 1) for kept in (2**24 - 1, 2**24 - 2, 2**23) for sign in (1, -1)]
    for integer in integers + ties:  # a double has them exactly, so numpy rounds once
        assert round_to_fp32(integer, -48) == np.float32(integer * 2.0**-48)


def test_the_reference_sums_exactly() -> None:
    generator = np.random.default_rng(10)
    weights, x = draw_finite_fp16(generator, (1, 320)), draw_finite_fp16(generator, 320)
    exact = sum(Fraction(float(weight)) * Fraction(float(value)) for weight, value in zip(weights[0], x, strict=True))
    rounded = multiply_exactly(weights, x)[0]
    neighbours = [np.nextafter(rounded, np.float32(end)) for end in (-np.inf, np.inf)]
    assert all(abs(Fraction(float(rounded)) - exact) <= abs(Fraction(float(other)) - exact) for other in neighbours)
