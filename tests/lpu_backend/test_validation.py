"""Published figures beside emulated ones, and that a chip with another figure is found out."""

import json
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.__main__ import main
from lpu_backend.chip import GROQCHIP1, ChipSpec, plan_floor
from lpu_backend.commands.validate import report
from lpu_backend.isa.instructions import Instruction, MemPair, Nop, Read, Repeat, Write
from lpu_backend.isa.operands import DataType, Stream
from lpu_backend.isa.program import Region
from lpu_backend.isa.repetition import iterate
from lpu_backend.machine import Dispatch
from lpu_backend.validation import PUBLISHED, MeasurementError, Row, validate
from lpu_backend.validation.measurements import Measurements
from lpu_backend.validation.recording import Case, Recording, count_steadily, find_first
from lpu_backend.validation.rows import compare
from lpu_backend.validation.schedule import Schedule

FIGURES = {figure.name: figure for figure in PUBLISHED}
E0 = Stream("E", 0)
REGIONS: tuple[tuple[str, Literal["input", "output"], str], ...] = (("x", "input", "W"), ("y", "output", "E"))


@pytest.fixture(autouse=True)
def _without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Language models take a minute to compile; test_model_rows.py is about them."""
    monkeypatch.setattr("lpu_backend.commands.validate.list_models", lambda _path: [])


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(validate())


def test_every_exact_figure_is_the_published_one(rows: list[Row]) -> None:
    exact = [row for row in rows if row.used_for == "exact"]
    assert len(exact) >= 20
    assert [row.name for row in exact if not row.agrees] == []


DIFFERING = {
    "BERT-base, 128 tokens, 99th percentile",
    "GEMM on 8 chips, int8 time x 4",
    "hop",
    "most hops, 10,440 chips",
    "all-reduce on a node, 32 KiB",
}
"""Known not to be the published ones: docs/network.md and docs/compiler.md say why."""


def test_the_other_figures_agree_too_but_for_those_that_are_known(rows: list[Row]) -> None:
    assert {row.name for row in rows if not row.agrees} == DIFFERING
    assert max(abs(row.error) for row in rows if not row.name.startswith("BERT")) < 0.21
    assert {row.used_for for row in rows} == {"exact", "calibration", "check"}


def test_digits_that_are_not_published_do_not_count(rows: list[Row]) -> None:
    peak = next(row for row in rows if row.name == "int8 peak at the clock")
    assert peak.published == 737
    assert peak.emulated == pytest.approx(737.28)
    assert peak.error == pytest.approx(0.00038, abs=1e-5)
    assert peak.agrees


@pytest.mark.parametrize(
    ("figure", "value", "name"),
    [
        ("tiles", 19, "skew over the tiles"),
        ("streams_each_way", 31, "streams each way"),
        ("streams_each_way", 28, "streams past one position"),
        ("mem_slices", 84, "SRAM bandwidth"),
        ("mem_addresses", 4_096, "capacity of a slice"),
        ("c2c_links", 14, "instruction queues"),
        ("vxm_alus_per_lane", 8, "VXM operations"),
        ("lanes_per_tile", 32, "MXM int8"),
        ("clock_hz", 950_000_000, "link goodput each way"),
        ("clock_hz", 950_000_000, "int8 peak at the clock"),
        ("c2c_vector_interval_cycles", 28, "a vector on a link every"),
        ("c2c_link_latency_cycles", 214.0, "link latency, mean"),
    ],
)
def test_a_chip_with_another_figure_is_found_out(
    figure: str, value: float, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lpu_backend.validation.links._CROSSINGS", 1_000)
    changed: ChipSpec = replace(GROQCHIP1, **{figure: value})
    assert not compare(FIGURES[name], Measurements(changed)).agrees


def test_a_chip_that_cannot_run_a_program_gets_the_reason() -> None:
    row = compare(FIGURES["MXM int8"], Measurements(replace(GROQCHIP1, mem_slices=64)))
    assert (row.emulated, row.error, row.agrees) == (None, None, False)
    assert "not enough slices" in row.reason


def test_the_command_prints_aligned_rows_and_a_summary(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: list[Row]
) -> None:
    monkeypatch.setattr("lpu_backend.commands.validate.validate", lambda _chip: iter(rows))
    assert main(["validate"]) == 0
    *table, summary = capsys.readouterr().out.splitlines()
    exact = sum(row.used_for == "exact" for row in rows)
    assert summary.startswith(f"{exact} exact rows, 0 differ")
    assert len(table) == len(rows) + 1
    assert len({line.index(row.source, 30) for line, row in zip(table[1:], rows, strict=True)}) == 1
    assert any("56,320    56,320  B/cycle" in line for line in table)


def test_an_exact_row_that_differs_makes_the_exit_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(FIGURES[name] for name in ("skew over the tiles", "weight load, 64 streams"))
    monkeypatch.setattr("lpu_backend.validation.rows.PUBLISHED", few)
    assert report(replace(GROQCHIP1, tiles=19), as_json=False) == 1
    printed = capsys.readouterr().out
    assert "DIFFERS" in printed
    assert "1 exact rows, 1 differ" in printed


def test_json_has_a_row_for_each_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: list[Row]
) -> None:
    monkeypatch.setattr("lpu_backend.commands.validate.validate", lambda _chip: iter(rows))
    assert main(["validate", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in printed] == [figure.name for figure in PUBLISHED]
    sram = next(row for row in printed if row["name"] == "SRAM bandwidth")
    assert sram["source"] == "TSP"
    assert (sram["published"], sram["emulated"], sram["unit"], sram["error"], sram["used_for"]) == (
        56_320,
        56_320,
        "B/cycle",
        0,
        "exact",
    )
    assert next(row for row in printed if row["name"] == "link latency, mean")["published"] == [216.3, 217.4]


def test_a_program_with_another_result_gives_no_figure() -> None:
    schedule = Schedule(GROQCHIP1)
    schedule.place("MEM_W0", 0, Read(0, E0))
    schedule.place("MEM_E0", 7, Write(0, E0))
    regions = [Region(name, kind, DataType.UINT8, 1, 320, (f"MEM_{side}0",), 0) for name, kind, side in REGIONS]
    x = np.arange(320, dtype=np.uint16).astype(np.uint8).reshape(1, 320)
    program = schedule.build("a copy", regions)
    Recording(Case(program, {"x": x}, lambda inputs: {"y": inputs["x"]}), GROQCHIP1)
    with pytest.raises(MeasurementError, match="a copy: y differs"):
        Recording(Case(program, {"x": x}, lambda inputs: {"y": inputs["x"] + np.uint8(1)}), GROQCHIP1)


def test_a_rate_is_counted_where_all_queues_are_busy() -> None:
    queues = plan_floor(GROQCHIP1).queues
    dispatches = [Dispatch(0, cycle, queues["MEM_W0"], Read(0, E0)) for cycle in range(40)]
    dispatches += [Dispatch(0, cycle, queues["MEM_E0"], Read(0, E0)) for cycle in range(11, 90, 2)]
    steady, cycles = count_steadily(dispatches)
    assert (len(steady), cycles) == (28 + 14, 28)
    with pytest.raises(MeasurementError, match="never all busy"):
        count_steadily([dispatches[0], dispatches[-1]])


@given(st.integers(1, 50), st.integers(1, 50), st.integers(-5, 60))
def test_the_first_accepted_number_is_found(low: int, length: int, first: int) -> None:
    high = low + length
    assert find_first(lambda number: number >= first, low, high) == min(max(first, low), high + 1)


def expand(queue: tuple[Instruction, ...]) -> dict[int, Instruction]:
    """What a queue dispatches and when, by docs/chip.md."""
    dispatched: dict[int, Instruction] = {}
    cycle = 0
    for place, instruction in enumerate(queue):
        if isinstance(instruction, Nop):
            cycle += instruction.cycles
        elif isinstance(instruction, Repeat):
            for iteration in range(1, instruction.count + 1):
                cycle += instruction.distance if iteration > 1 else instruction.distance - 1
                dispatched[cycle] = iterate(queue[place - 1], iteration)
            cycle += 1
        else:
            dispatched[cycle] = instruction
            cycle += 1
    return dispatched


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-20, 60), st.integers(0, 9), st.integers(1, 6), st.integers(1, 3)), min_size=1),
    st.booleans(),
)
def test_a_schedule_dispatches_what_was_placed_where_it_was_placed(
    runs: list[tuple[int, int, int, int]], repeats: bool
) -> None:
    schedule, placed = Schedule(GROQCHIP1), dict[int, Instruction]()
    for cycle, address, count, distance in runs:
        cycles = range(cycle, cycle + count * distance, distance)
        if not any(at in placed for at in cycles):
            read = Read(address, E0, 1)
            schedule.place("MEM_W0", cycle, read, count=count, distance=distance)
            placed.update((at, iterate(read, iteration)) for iteration, at in enumerate(cycles))
    program = schedule.build("reads", [], repeats=repeats)
    queue = program.queues[0]["MEM_W0"]
    assert expand(queue) == {cycle - min(placed): instruction for cycle, instruction in placed.items()}
    assert repeats or not any(isinstance(instruction, Repeat) for instruction in queue)


def test_two_accesses_of_a_slice_in_one_cycle_are_a_pair() -> None:
    schedule = Schedule(GROQCHIP1)
    schedule.place("MEM_W0", 3, Read(0, E0, 1), count=4)
    schedule.place("MEM_W0", 3, Write(4_096, E0, 1), count=4)
    queue = schedule.build("pairs", []).queues[0]["MEM_W0"]
    assert queue == (MemPair(Read(0, E0, 1), Write(4_096, E0, 1)), Repeat(3, 1))
