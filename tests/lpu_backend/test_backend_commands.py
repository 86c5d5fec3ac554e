"""`python -m lpu_backend`: what it prints, and with which exit status it ends."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from lpu_backend.__main__ import main
from lpu_backend.assembly import assemble
from lpu_backend.chip import GROQCHIP1, OPERATION_TIMINGS, list_figures
from lpu_backend.programs.catalogue import EXAMPLES, load_example

DOUBLE = """
.program double
.input x int16[1, 320] MEM_W0 MEM_W1 0x0
.output y int16[1, 320] MEM_E0 MEM_E1 0x0
queue MEM_W0
@1  Read 0x0, E0
queue MEM_W1
@0  Read 0x0, E1
queue VXM0
@6  Add.int16 E0, E0 -> E0
queue MEM_E0
@11 Write 0x0, E0
queue MEM_E1
@12 Write 0x0, E1
"""
OPERAND_LATE = DOUBLE.replace("@6 ", "@7 ")


def end(arguments: list[str]) -> int | str | None:
    """The exit status, also where the parser itself exits."""
    try:
        return main(arguments)
    except SystemExit as by_parser:
        return by_parser.code


@pytest.fixture
def double(tmp_path: Path) -> str:
    path = tmp_path / "double.lpu"
    path.write_text(DOUBLE)
    return str(path)


def test_alone_it_prints_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    for command in ("run", "trace", "check", "assemble", "disassemble", "programs", "chip", "network", "validate"):
        assert f"\n    {command}" in printed


def test_programs_lists_every_example_with_its_cycles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["programs"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [(name, f"{example.cycles:,}") for name, example in EXAMPLES.items()]


def test_run_compares_an_example_with_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "vector-add"]) == 0
    printed = capsys.readouterr().out
    assert "30 cycles, 0.033 µs at 900 MHz" in printed
    assert "emulated 4 instructions" in printed
    assert "equal the numpy reference bit for bit" in printed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expect": lambda inputs: {"z": inputs["x"]}}, "z differ from the numpy reference"),
        ({"cycles": 31}, "header says 31 cycles"),
    ],
)
def test_run_fails_where_an_example_differs_from_numpy_or_its_cycles(
    changes: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(EXAMPLES["vector-add"], **changes)
    monkeypatch.setattr("lpu_backend.commands.loading.EXAMPLES", {"vector-add": wrong})
    assert main(["run", "vector-add"]) == 1
    assert reason in capsys.readouterr().out


def test_run_takes_inputs_from_a_file_and_writes_outputs_to_one(tmp_path: Path, double: str) -> None:
    x = np.arange(320, dtype=np.int16).reshape(1, 320)
    np.savez(tmp_path / "x.npz", x=x, unused=x)
    outputs = tmp_path / "y.npz"
    assert main(["run", double, "--inputs", str(tmp_path / "x.npz"), "--outputs", str(outputs)]) == 0
    with np.load(outputs) as written:
        assert written.files == ["y"]
        assert (written["y"] == 2 * x).all()


def test_the_seed_decides_the_random_inputs(double: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for seed in ("1", "1", "2"):
        assert main(["run", double, "--seed", seed]) == 0
        shown.append(capsys.readouterr().out.splitlines()[2])
    assert shown[0] == shown[1] != shown[2]


def test_trace_writes_a_trace_and_a_picture_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    assert main(["trace", "send-and-add", "-o", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f"{folder / 'trace.json'}\n{folder / 'occupancy.svg'}\n" in printed
    assert "instructions/s" in printed
    assert "cycles/s" in printed
    events = json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    dispatched = sum(event["ph"] == "X" for event in events)
    assert f"emulated {dispatched:,} instructions" in printed
    ElementTree.parse(folder / "occupancy.svg")  # noqa: S314  our own text


def test_check_accepts_an_example_and_gives_its_cycles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "vector-add"]) == 0
    assert capsys.readouterr().out == "vector-add: no hazards; 30 cycles, 4 instructions\n"


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_hazard_is_named_with_chip_cycle_and_queue(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "late.lpu"
    path.write_text(OPERAND_LATE)
    assert main([command, str(path)]) == 1
    printed = capsys.readouterr()
    assert "chip 0, cycle 8, VXM0, `Add.int16 E0, E0 -> E0`: operand not on the stream" in printed.out + printed.err


def test_assemble_counts_what_a_text_holds(double: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assemble", double]) == 0
    printed = capsys.readouterr().out
    assert "double assembles" in printed
    counts = dict(line.rsplit(maxsplit=1) for line in printed.splitlines()[2:])
    assert (counts["queues"], counts["instruction words"], counts["of them NOPs"]) == ("5", "9", "4")


def test_what_disassemble_prints_assembles_to_an_equal_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disassemble", "matvec-int8-320"]) == 0
    assert assemble(capsys.readouterr().out) == load_example("matvec-int8-320")


def test_chip_gives_every_figure_and_timing_with_its_standing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chip", "--json"]) == 0
    chip = json.loads(capsys.readouterr().out)
    assert [figure["name"] for figure in chip["figures"]] == [figure.name for figure in list_figures(GROQCHIP1)]
    assert {operation["name"] for operation in chip["operations"]} == set(OPERATION_TIMINGS)
    assert chip["figures"][0] == {
        "name": "clock_hz",
        "value": 900_000_000,
        "standing": "published",
        "source": "TSP: nominal clock",
    }
    assert main(["chip"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(chip["figures"]) + len(chip["operations"]) + 5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["check"], "PROGRAM"),
        (["nothing"], "invalid choice"),
        (["run", "vector-add", "--seed=-1"], "-1 is not a whole number"),
        (["run", "vector-ad"], "vector-ad is neither a .lpu file nor an example; the examples are vector-add,"),
        (["run", "none.lpu"], "none.lpu: No such file"),
        (["run", "vector-add", "--inputs", "none.npz"], "none.npz: No such file"),
        (["run", "vector-add", "--inputs", __file__], "is not an .npz file"),
        (["trace", "vector-add", "-o", __file__], "File exists"),
    ],
)
def test_bad_usage_and_missing_files_end_with_2_and_a_short_reason(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end(arguments) == 2
    printed = capsys.readouterr()
    assert reason in printed.err
    assert len(printed.err.splitlines()) <= 4
    assert not printed.out


def test_a_single_array_is_no_file_of_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 320), np.int8))
    assert main(["run", "vector-add", "--inputs", str(tmp_path / "x.npy")]) == 2
    assert "is not an .npz file" in capsys.readouterr().err


def test_inputs_that_a_file_lacks_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 320), np.int8))
    assert main(["run", "vector-add", "--inputs", str(tmp_path / "x.npz")]) == 2
    assert "has no y; the program's inputs are x, y" in capsys.readouterr().err


def test_a_text_that_does_not_assemble_ends_with_1_and_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.lpu"
    path.write_text("queue MEM_W0\n    Reed 0x0, E0\n")
    assert main(["run", str(path)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"{path}: line 2: ")
    assert printed.count("\n") == 1


def test_network_prints_a_system_and_the_shares_that_its_all_reduce_reaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "--chips", "264", "--bytes", "81920"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["nodes", "33"] in [line.split() for line in lines]
    assert lines[-2].split()[0] == "81,920"
    assert lines[-2].endswith("1,918  90.1%   90%")


def test_network_in_json_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "--chips", "10440", "--bytes", "320", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["racks"], printed["diameter_hops"], printed["hop_ns"]["hop"]) == (145, 6, 300)
    assert len(printed["all_reduce"]) == 4


def test_network_refuses_what_no_system_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network", "--chips", "12"]) == 1
    assert capsys.readouterr().err == "12 chips are no whole nodes; 16 are\n"
    with pytest.raises(SystemExit, match="2"):
        main(["network", "--bytes", "0"])
