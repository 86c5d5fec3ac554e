"""`run PROGRAM`: inputs, cycles, outputs."""

import argparse
from pathlib import Path

import numpy as np

from lpu_backend.commands.command import Command, add_program, add_seed, write_line
from lpu_backend.commands.emulation import emulate
from lpu_backend.commands.loading import LoadedProgram, Tensors, list_regions, load_program, make_inputs, read_inputs
from lpu_backend.isa.program import Region

_SHOWN_LANES = 8


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    add_seed(parser)
    parser.add_argument(
        "--inputs", type=Path, metavar="FILE.npz", help="arrays by region name, in place of random ones"
    )
    parser.add_argument("--outputs", type=Path, metavar="FILE.npz", help="write the output regions there")


def _run(options: argparse.Namespace) -> int:
    loaded = load_program(options.program)
    inputs = make_inputs(loaded, options.seed)
    if options.inputs is not None:
        inputs = read_inputs(options.inputs, loaded.program)
    emulation = emulate(loaded.program, inputs)
    write_line(f"{loaded.program.name}: {emulation.describe_time()}")
    write_line(emulation.describe_speed())
    for region in list_regions(loaded.program, "output"):
        write_line(_describe(region, emulation.run.outputs))
    if options.outputs is not None:
        with options.outputs.open("wb") as file:  # a name without .npz stays as it is
            np.savez(file, allow_pickle=False, **emulation.run.outputs)
        write_line(f"outputs are in {options.outputs}")
    return _compare(loaded, inputs, emulation.run.outputs, emulation.run.cycles)


def _describe(region: Region, outputs: Tensors) -> str:
    first = outputs[region.name][0]
    shown = " ".join(format(value, ".6g" if region.dtype.is_float else "d") for value in first[:_SHOWN_LANES].tolist())
    more = " ..." if outputs[region.name].size > _SHOWN_LANES else ""
    return f"{region.name} {region.dtype.value}[{region.rows}, {region.lanes}]: {shown}{more}"


def _compare(loaded: LoadedProgram, inputs: Tensors, outputs: Tensors, cycles: int) -> int:
    """An example's outputs beside those of numpy, bit for bit, and its cycles beside those that it is written for."""
    if loaded.example is None:
        return 0
    expected = loaded.example.expect(inputs)
    wrong = [name for name, array in expected.items() if outputs[name].tobytes() != array.tobytes()]
    if wrong:
        write_line(f"{', '.join(wrong)} differ from the numpy reference")
    else:
        write_line("outputs equal the numpy reference bit for bit")
    if cycles != loaded.example.cycles:
        write_line(f"the text's header says {loaded.example.cycles:,} cycles")
    return int(bool(wrong) or cycles != loaded.example.cycles)


COMMAND = Command("run", "run a program, and compare an example with numpy", _add_arguments, _run)
