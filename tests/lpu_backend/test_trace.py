"""Perfetto traces and occupancy pictures, mostly from dispatches made by hand."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.__main__ import main
from lpu_backend.assembly import assemble
from lpu_backend.checker.accesses import stream_uses
from lpu_backend.chip import GROQCHIP1, plan_floor
from lpu_backend.isa.instructions import (
    ActivationBuffer,
    Binary,
    Config,
    Deskew,
    Instruction,
    MemPair,
    Notify,
    Read,
    Rotate,
    Send,
    Sync,
    Write,
)
from lpu_backend.isa.operands import DataType, Immediate, Stream
from lpu_backend.machine import Dispatch, run_program
from lpu_backend.trace import Occupancy, PerfettoTrace, draw_occupancy
from lpu_backend.trace.flows import Flows
from lpu_backend.trace.occupancy import MAX_COLUMNS

FLOOR = plan_floor(GROQCHIP1)
E0, E1, W0 = Stream("E", 0), Stream("E", 1), Stream("W", 0)
SVG = "{http://www.w3.org/2000/svg}"
COPY = """
.program copy
.input x int8[2, 320] MEM_W1 0x0
.output y int8[2, 320] MEM_E1 0x0
queue MEM_W1
    Read 0x0, E0 step 1
    Repeat 1, 1
queue MEM_E1
@9  Write 0x0, E0 step 1
    Repeat 1, 1
"""


DOCS = Path(__file__).parents[2] / "docs"


def dispatch(queue: str, cycle: int, instruction: Instruction, chip: int = 0) -> Dispatch:
    return Dispatch(chip, cycle, FLOOR.queues[queue], instruction)


def write_trace(path: Path, *dispatches: Dispatch) -> list[dict[str, Any]]:
    with PerfettoTrace(path, "a program") as trace:
        for each in dispatches:
            trace(each)
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["displayTimeUnit"] == "ns"
    return list(written["traceEvents"])


def list_spans(events: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    return [(event["name"], event["ts"], event["dur"]) for event in events if event["ph"] == "X"]


def draw(*dispatches: Dispatch, name: str = "a program", chips: int = 1) -> ElementTree.Element:
    occupancy = Occupancy()
    for each in dispatches:
        occupancy(each)
    svg = draw_occupancy(occupancy, name, chips, occupancy.last_cycle + GROQCHIP1.tiles)
    return ElementTree.fromstring(svg)  # noqa: S314  our own text


def test_an_event_has_the_instruction_its_cycle_and_a_nanosecond_a_cycle(tmp_path: Path) -> None:
    events = write_trace(tmp_path / "t.json", dispatch("MEM_W3", 1_057, Read(16, E0)))
    assert list_spans(events) == [("Read", 1.057, 0.001)]
    assert events[-1]["args"] == {"instruction": "Read 0x10, E0", "cycle": 1_057}


def test_tracks_are_queues_in_floorplan_order_and_unique_over_chips(tmp_path: Path) -> None:
    queues = ["VXM3", "MEM_E0", "MXM_W1_ABC", "C2C0"]
    events = write_trace(
        tmp_path / "t.json", *(dispatch(queue, 0, Config(20), chip) for chip in (1, 0) for queue in queues)
    )
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    order = {event["tid"]: event["args"]["sort_index"] for event in events if event["name"] == "thread_sort_index"}
    assert len(names) == 2 * len(queues)
    assert not set(names) & {event["pid"] for event in events}
    west_to_east = ["MXM_W1_ABC", "C2C0", "VXM3", "MEM_E0"]
    assert [names[thread] for thread in sorted(names)] == west_to_east * 2
    assert [names[thread] for thread in sorted(order, key=order.__getitem__)][::2] == west_to_east
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert [processes[process] for process in sorted(processes)] == ["chip 0", "chip 1"]


def test_an_event_lasts_as_long_as_its_unit_is_busy_or_its_queue_parked(tmp_path: Path) -> None:
    events = write_trace(
        tmp_path / "t.json",
        dispatch("VXM0", 2, Sync()),
        dispatch("MEM_W0", 3, Sync()),
        dispatch("C2C1", 5, Deskew()),
        dispatch("C2C0", 10, Notify()),
        dispatch("MXM_W0_ABC", 90, ActivationBuffer(DataType.FP16, W0)),
        dispatch("C2C0", 95, Notify()),
        dispatch("C2C0", 140, Sync()),
    )
    released_cycle = 10 + GROQCHIP1.barrier_cycles
    spans = {(name, round(1_000 * ts)): round(1_000 * dur) for name, ts, dur in list_spans(events)}
    assert spans[("Sync", 2)] == released_cycle - 2
    assert spans[("Sync", 3)] == released_cycle - 3
    assert spans[("Deskew", 5)] == GROQCHIP1.hac_period_cycles - 5
    assert spans[("ABC.fp16", 90)] == 2
    assert spans[("Sync", 140)] == 1  # never released


def test_a_pair_is_named_by_both_accesses(tmp_path: Path) -> None:
    events = write_trace(tmp_path / "t.json", dispatch("MEM_W0", 0, MemPair(Read(0, E0), Write(4_096, W0))))
    assert list_spans(events)[0][0] == "Read | Write"


def test_a_trace_without_events_is_json_too(tmp_path: Path) -> None:
    assert write_trace(tmp_path / "t.json") == []


def test_the_machine_feeds_trace_and_picture(tmp_path: Path) -> None:
    occupancy, path = Occupancy(), tmp_path / "t.json"
    x = np.arange(640, dtype=np.int8).reshape(2, 320)
    with PerfettoTrace(path, "copy") as trace:

        def observe(each: Dispatch) -> None:
            trace(each)
            occupancy(each)

        run = run_program(assemble(COPY), {"x": x}, observer=observe)
    assert occupancy.dispatched == run.dispatched == 4
    spans = list_spans(json.loads(path.read_text(encoding="utf-8"))["traceEvents"])
    assert spans == [("Read", 0, 0.001), ("Read", 0.001, 0.001), ("Write", 0.009, 0.001), ("Write", 0.01, 0.001)]
    # Two neighbouring vectors on one stream, four positions far, are one band.
    west, east = FLOOR.positions["MEM_W1"], FLOOR.positions["MEM_E1"]
    assert occupancy.flows is not None
    assert occupancy.flows.list_bands(0) == [(0, "E", west, east, 1, 5, 6)]


def test_a_vector_ends_where_another_is_driven_over_it() -> None:
    flows = Flows(GROQCHIP1)
    west, middle = FLOOR.positions["MEM_W2"], FLOOR.positions["VXM"]
    flows.add(dispatch("MEM_W2", 0, Read(0, E0)))  # driven at 5, at the VXM at 8
    flows.add(dispatch("MEM_W1", 6, Write(9, E0)))
    flows.add(dispatch("VXM0", 4, Binary("Add", DataType.INT8, Immediate(1), Immediate(2), E0)))  # driven there at 8
    flows.add(dispatch("VXM1", 7, Binary("Add", DataType.INT8, E0, Immediate(2), None)))  # sees that one, at 8
    flows.add(dispatch("MEM_E0", 9, Write(9, E0)))
    assert {(band.position, band.end) for band in flows.list_bands(0)} == {(west, west + 1), (middle, middle + 1)}


def test_a_vector_that_nobody_samples_is_not_drawn() -> None:
    flows = Flows(GROQCHIP1)
    flows.add(dispatch("MEM_W2", 0, Read(0, W0)))
    flows.add(dispatch("MEM_W1", 6, Write(9, W0)))  # upstream of it
    assert flows.list_bands(0) == []


@pytest.mark.parametrize(
    ("instruction", "samples", "drives"),
    [
        (Send(W0), [(W0, 1, 1)], []),
        (Rotate(3, E1, W0), [(E1, 1, 1)], [(W0, 9, 4)]),
        (MemPair(Read(0, E0), Write(4_096, W0)), [(W0, 1, 0)], [(E0, 1, 5)]),
        (Binary("Add", DataType.INT32, E0, Immediate(1), None), [(E0, 4, 1)], []),
    ],
)
def test_traffic_is_what_an_instruction_samples_and_drives(
    instruction: Instruction, samples: list[Any], drives: list[Any]
) -> None:
    assert stream_uses(instruction, GROQCHIP1) == (tuple(samples), tuple(drives))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=60))
def test_no_busy_cycle_is_lost_or_counted_twice_when_columns_are_joined(cycles: list[int]) -> None:
    occupancy = Occupancy(max_columns=16)
    for cycle in sorted(cycles):
        occupancy(dispatch("VXM0", cycle, Binary("Add", DataType.INT8, E0, E1, None)))
    busy = occupancy.list_busy(0)[FLOOR.positions["VXM"]]["VXM"]
    assert busy.sum() * occupancy.cycles_per_column == len(set(cycles))
    assert occupancy.count_dispatches(0).sum() * occupancy.cycles_per_column == len(cycles)
    assert busy.max() <= 1
    column = max(cycles) // occupancy.cycles_per_column
    assert busy[column] > 0
    assert not busy[column + 1 :].any()


def test_the_picture_is_described_and_its_text_escaped() -> None:
    svg = draw(dispatch("MEM_W0", 0, Read(0, E0)), name="a < b & c")
    title = svg.find(f"{SVG}title")
    assert title.text == "a < b & c: slice occupancy"
    assert "1 instructions" in svg.find(f"{SVG}desc").text
    assert svg.get("role") == "img"
    assert "prefers-color-scheme:dark" in svg.find(f"{SVG}style").text
    texts = ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]
    assert {"a < b & c", "VXM", "MXM W", "SXM E", "W40", "cycle"} <= set(texts)


def test_a_cell_lies_at_its_cycle_and_slice() -> None:
    svg = draw(dispatch("MXM_W1_ABC", 0, ActivationBuffer(DataType.INT8, W0)), dispatch("MXM_E1_ABC", 99, Config(20)))
    cells = {
        path.get("class").split()[0]: path.get("d") for path in svg.iter(f"{SVG}path") if "level" in path.get("class")
    }
    west_x, west_y = (float(number) for number in cells["mxm"][1:].split("h")[0].split())
    east_x, east_y = (float(number) for number in cells["icu"][1:].split("h")[0].split())
    columns = 99 + GROQCHIP1.tiles
    assert east_x - west_x == pytest.approx(99 * 1_200 / columns, abs=0.02)
    assert east_y - west_y == pytest.approx(94 * 6.0)


def test_a_long_program_is_binned_and_stays_as_wide() -> None:
    reads = [dispatch("MEM_W0", cycle, Read(0, E0)) for cycle in range(0, 9 * MAX_COLUMNS, 3)]
    svg = draw(*reads)
    assert float(svg.get("width")) < 1_400
    assert any("a column is 16 cycles" in (text.text or "") for text in svg.iter(f"{SVG}text"))
    assert len(ElementTree.tostring(svg)) < 200_000


def test_every_chip_has_a_panel() -> None:
    svg = draw(dispatch("MEM_W0", 0, Read(0, E0), chip=0), dispatch("MEM_W0", 0, Read(0, E0), chip=2), chips=3)
    captions = [text.text for text in svg.iter(f"{SVG}text") if (text.text or "").startswith("Chip")]
    assert captions == ["Chip 0", "Chip 1", "Chip 2"]


def test_the_picture_in_the_documentation_is_the_one_that_is_drawn_now(tmp_path: Path) -> None:
    assert main(["trace", "matvec-int8-1280x960", "-o", str(tmp_path)]) == 0
    drawn = (tmp_path / "occupancy.svg").read_text(encoding="utf-8")
    assert drawn == (DOCS / "matvec-int8-1280x960.svg").read_text(encoding="utf-8")
