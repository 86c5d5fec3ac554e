"""From what stands on the command line to a program and its inputs."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.assembly import AssemblyError, assemble
from lpu_backend.commands.command import UsageError
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.isa.program import Program, Region
from lpu_backend.programs.catalogue import EXAMPLES, load_example
from lpu_backend.programs.example import Example

Tensors = dict[str, NDArray[Any]]


class LoadedProgram(NamedTuple):
    """A program, and the example that it is, if it is one."""

    program: Program
    example: Example | None


class ProgramTextError(LpuBackendError):
    """A .lpu file that does not assemble; the message names the file and the line."""


def load_program(name: str) -> LoadedProgram:
    """The example of this name, or the .lpu file at this path. UsageError, ProgramTextError."""
    if name in EXAMPLES:
        return LoadedProgram(load_example(name), EXAMPLES[name])
    path = Path(name)
    if path.suffix != ".lpu" and not path.is_file():
        raise UsageError(f"{name} is neither a .lpu file nor an example; the examples are {', '.join(EXAMPLES)}")
    try:
        return LoadedProgram(assemble(path.read_text(encoding="utf-8")), None)
    except AssemblyError as error:
        raise ProgramTextError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text") from None


def make_inputs(loaded: LoadedProgram, seed: int) -> Tensors:
    """Every input region at random: an example's in its own way, else all integers, or normal floats."""
    random = np.random.default_rng(seed)
    if loaded.example is not None:
        return dict(loaded.example.make_inputs(random))
    return {region.name: _draw(region, random) for region in list_regions(loaded.program, "input")}


def read_inputs(path: Path, program: Program) -> Tensors:
    """Every input region from an .npz file, by its name. UsageError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile):  # TypeError: a single array, .npy
        raise UsageError(f"{path} is not an .npz file of arrays") from None
    names = [region.name for region in list_regions(program, "input")]
    missing = [name for name in names if name not in found]
    if missing:
        raise UsageError(f"{path} has no {', '.join(missing)}; the program's inputs are {', '.join(names)}")
    return {name: found[name] for name in names}


def list_regions(program: Program, kind: str) -> Iterator[Region]:
    """The program's regions of one kind."""
    return (region for region in program.regions if region.kind == kind)


def _draw(region: Region, random: np.random.Generator) -> NDArray[Any]:
    shape, dtype = (region.rows, region.lanes), region.dtype.numpy
    if region.dtype.is_float:
        return random.standard_normal(shape).astype(dtype)
    bits = np.frombuffer(random.bytes(region.rows * region.lanes * dtype.itemsize), dtype)
    return bits.reshape(shape)
