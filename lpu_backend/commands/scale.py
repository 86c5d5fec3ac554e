"""`scale CONFIG --chips 1,2,4`: the same model on more and more chips, as a table and a picture."""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

from lpu_backend.chip import GROQCHIP1
from lpu_backend.commands.command import Command, format_table, write_line
from lpu_backend.commands.compiling import add_model, make_request
from lpu_backend.commands.scaling_picture import draw_scaling
from lpu_backend.compiler.compile_model import compile_model
from lpu_backend.compiler.compiled_program import UnitCycles
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.step_time import count_step_cycles, find_rates, sum_units


class ScalePoint(NamedTuple):
    """A model on so many chips: how it is divided, tokens a second for each user, and where a token's cycles go."""

    chips: int
    tensor_parallel: int
    stages: int
    tokens_per_second: float
    cycles: int
    units: UnitCycles


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--chips", type=_read_counts, required=True, metavar="N,N,...", help="numbers of chips")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE.svg", help="draw it")


def _read_counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise ValueError(f"{min(counts)} is below 1")
    return counts


def _scale(options: argparse.Namespace) -> int:
    points, refusals = [], []
    for chips in options.chips:
        try:
            points.append(_measure(options, chips))
        except CompileError as refusal:
            refusals.append(f"{chips:,}: {refusal}")
    if options.json:
        write_line(json.dumps({"points": [_collect(point) for point in points], "refused": refusals}, indent=1))
    else:
        _write_table(points)
        for line in refusals:
            write_line(line)
    if options.out is not None and points:
        options.out.write_text(draw_scaling(options.config, points, GROQCHIP1.clock_hz), encoding="utf-8")
    return 0 if points else 1


def _measure(options: argparse.Namespace, chips: int) -> ScalePoint:
    program = compile_model(make_request(options, chips))
    rates = find_rates(program, GROQCHIP1.clock_hz)
    return ScalePoint(
        chips,
        program.tensor_parallel,
        len(program.stages),
        rates.tokens_per_second_per_user,
        count_step_cycles(program),
        sum_units(program),
    )


def _collect(point: ScalePoint) -> dict[str, Any]:
    return {**point._asdict(), "units": point.units.as_dict()}


def _write_table(points: list[ScalePoint]) -> None:
    head = ("chips", "chips a layer", "stages", "tokens/s", "us a token", "matrix", "vector", "network", "waiting")
    rows = [
        (
            f"{point.chips:,}",
            str(point.tensor_parallel),
            str(point.stages),
            f"{point.tokens_per_second:,.1f}",
            f"{point.cycles / GROQCHIP1.clock_hz * 1e6:,.1f}",
            *(f"{cycles / point.cycles:.0%}" for cycles in point.units.as_dict().values()),
        )
        for point in points
    ]
    for line in format_table(head, rows, right=range(len(head))):
        write_line(line)


COMMAND = Command("scale", "time the same model on several numbers of chips", _add_arguments, _scale)
