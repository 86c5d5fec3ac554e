"""`trace PROGRAM -o DIR`: trace.json for ui.perfetto.dev, occupancy.svg for a browser."""

import argparse
from pathlib import Path

from lpu_backend.commands.command import Command, add_program, add_seed, write_line
from lpu_backend.commands.emulation import emulate
from lpu_backend.commands.loading import load_program, make_inputs
from lpu_backend.machine import Dispatch
from lpu_backend.trace import Occupancy, PerfettoTrace, draw_occupancy


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    add_seed(parser)


def _trace(options: argparse.Namespace) -> int:
    loaded = load_program(options.program)
    program, inputs = loaded.program, make_inputs(loaded, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    trace_path, picture_path = options.out / "trace.json", options.out / "occupancy.svg"
    dispatches: list[Dispatch] = []
    emulation = emulate(program, inputs, dispatches.append)
    write_line(f"{program.name}: {emulation.describe_time()}")
    write_line(emulation.describe_speed())
    occupancy = Occupancy()
    with PerfettoTrace(trace_path, program.name) as trace:
        for dispatch in dispatches:
            trace(dispatch)
            occupancy(dispatch)
    cycles = emulation.run.cycles
    picture_path.write_text(draw_occupancy(occupancy, program.name, program.chips, cycles), encoding="utf-8")
    write_line(str(trace_path))
    write_line(str(picture_path))
    return 0


COMMAND = Command("trace", "run a program, write a Perfetto trace and a picture", _add_arguments, _trace)
