"""softmax, rmsnorm, the transposes and gather: bit for bit their references, in the cycles that their texts derive."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lpu_backend.programs
from lpu_backend.assembly import assemble
from lpu_backend.checker import check_program
from lpu_backend.isa.program import Program
from lpu_backend.machine import Run, run_program
from lpu_backend.programs.references_vxm import VXM_EXAMPLES, lay_out_banks, make_gather

LANES = 320
LARGEST = np.finfo(np.float32).max
TEXTS = {
    name: (Path(lpu_backend.programs.__file__).parent / "texts" / f"{name}.lpu").read_text(encoding="utf-8")
    for name in VXM_EXAMPLES
}
PROGRAMS = {name: assemble(text) for name, text in TEXTS.items()}


@cache
def run_drawn(name: str, seed: int) -> Run:
    return run_program(PROGRAMS[name], VXM_EXAMPLES[name].make_inputs(np.random.default_rng(seed)))


def run(name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return run_program(PROGRAMS[name], inputs).outputs


def assert_as_expected(name: str, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    expected = VXM_EXAMPLES[name].expect(inputs)
    assert outputs.keys() == expected.keys()
    for region, array in expected.items():
        assert outputs[region].dtype == array.dtype
        assert outputs[region].tobytes() == array.tobytes()


def make_row(*values: float) -> np.ndarray:
    """The values and then the last of them to the end of the row."""
    return np.array([*values, *[values[-1]] * (LANES - len(values))], dtype=np.float32).reshape(1, LANES)


EXTREME_ROWS = {
    "zeros": make_row(0.0),
    "zeros of both signs": make_row(-0.0, 0.0),
    "one value": make_row(-1234.5),
    "minus infinity beside numbers": make_row(-np.inf, 3.0, -np.inf, 2.5, -np.inf),
    "the largest and its negative": make_row(LARGEST, -LARGEST),
    "all below what Exp gives for themselves": np.linspace(-1000, -900, LANES, dtype=np.float32).reshape(1, LANES),
    "subnormals": make_row(1e-45, -1e-45, 1e-40, 0.0),
    "one far above the others, in the last lane": make_row(*[0.0] * (LANES - 1), 104.0),
}


@pytest.fixture(params=VXM_EXAMPLES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("seed", range(2))
def test_outputs_are_the_references_bit_for_bit(name: str, seed: int) -> None:
    inputs = VXM_EXAMPLES[name].make_inputs(np.random.default_rng(seed))
    assert_as_expected(name, inputs, run_drawn(name, seed).outputs)


def test_a_program_takes_the_cycles_that_its_text_derives(name: str) -> None:
    result = run_drawn(name, 0)
    assert result.cycles == VXM_EXAMPLES[name].cycles
    assert f"+ 20 tiles = {result.cycles} cycles." in TEXTS[name]
    assert result.corrected_bits == 0


def test_the_checker_finds_no_hazard_and_the_same_cycles(name: str) -> None:
    schedule = check_program(PROGRAMS[name])
    result = run_drawn(name, 1)
    assert (schedule.cycles, schedule.dispatched) == (result.cycles, result.dispatched)


def test_a_program_bears_its_file_name(name: str) -> None:
    program: Program = PROGRAMS[name]
    assert program.name == VXM_EXAMPLES[name].name == name


@pytest.mark.parametrize("x", EXTREME_ROWS.values(), ids=EXTREME_ROWS)
def test_softmax_of_extreme_rows_is_its_reference(x: np.ndarray) -> None:
    outputs = run("softmax", {"x": x})
    assert_as_expected("softmax", {"x": x}, outputs)
    assert np.isclose(outputs["y"].astype(np.float64).sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("x", EXTREME_ROWS.values(), ids=EXTREME_ROWS)
def test_rmsnorm_of_extreme_rows_is_its_reference(x: np.ndarray) -> None:
    inputs = {"x": np.nan_to_num(x, neginf=-LARGEST), "w": np.full((1, LANES), 1.5, np.float32)}
    assert_as_expected("rmsnorm", inputs, run("rmsnorm", inputs))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 4))
def test_softmax_is_as_near_to_float64_as_its_text_says(seed: int, exponent: float) -> None:
    x = (np.random.default_rng(seed).standard_normal((1, LANES)) * 10.0**exponent).astype(np.float32)
    below = x.astype(np.float64) - x.max()
    exact = np.exp(below) / np.exp(below).sum()
    error = np.abs(run("softmax", {"x": x})["y"] - exact)
    assert (error <= exact * (2.0**-20 - 2.0**-24 * below) + 2.0**-126).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 4))
def test_rmsnorm_is_near_to_float64(seed: int, exponent: float) -> None:
    x, w = np.random.default_rng(seed).standard_normal((2, 1, LANES))
    x, w = (x * 10.0**exponent).astype(np.float32), w.astype(np.float32)
    wide = x.astype(np.float64)
    exact = wide / np.sqrt((wide**2).mean() + 1e-5) * w
    assert np.allclose(run("rmsnorm", {"x": x, "w": w})["y"], exact, rtol=2.0**-20, atol=0)


def test_rmsnorm_divides_all_lanes_by_the_same_bits() -> None:
    x = (10.0 ** np.random.default_rng(5).uniform(-8, 8, (1, LANES))).astype(np.float32)
    same = x.copy()
    same[0, 0], same[0, 16], same[0, 200], same[0, 319] = [x.max()] * 4
    y = run("rmsnorm", {"x": same, "w": np.ones((1, LANES), np.float32)})["y"]
    assert len(set(y[0, same[0] == x.max()].tolist())) == 1


@pytest.mark.parametrize("lane", [0, 15, 16, 159, 160, 319])
def test_the_largest_is_found_in_any_lane(lane: int) -> None:
    x = np.full((1, LANES), -200.0, np.float32)
    x[0, lane] = 1.0
    y = run("softmax", {"x": x})["y"]
    assert y[0, lane] == 1
    assert y.sum() == 1


def test_both_transposes_of_a_matrix_are_the_same() -> None:
    matrix = np.random.default_rng(3).integers(-128, 128, (LANES, LANES), dtype=np.int8)
    assert np.array_equal(run("transpose", lay_out_banks(matrix))["y"], matrix.T)
    assert np.array_equal(run("transpose-sxm", {"x": matrix})["y"], matrix.T)


def test_gather_takes_the_first_and_the_last_row_and_one_row_often() -> None:
    table = np.random.default_rng(4).integers(-128, 128, (1_000, 1_280), dtype=np.int8)
    ids = np.array([0, 999, 999, 0, *[500] * 60])
    scale = np.full(1_280, 0.5, np.float32)
    out = run("gather", make_gather(table, scale, ids))["out"]
    assert np.array_equal(out.reshape(64, 1_280), table[ids] * np.float32(0.5))
