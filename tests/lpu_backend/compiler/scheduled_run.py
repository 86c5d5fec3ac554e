"""A vector program, scheduled and run on the emulator, beside its meaning."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.checker import check_program
from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.emission import Placed, write_queues
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.interpreter import Interpreter
from lpu_backend.compiler.lifetimes import list_written_values
from lpu_backend.compiler.placing import Part, place_parts
from lpu_backend.compiler.regions import make_tile_regions, make_value_region, name_tiles, name_value
from lpu_backend.compiler.scheduling import schedule_program
from lpu_backend.compiler.vector_program import Value, VectorProgram
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Program, Region
from lpu_backend.machine import Machine

SMALL = replace(GROQCHIP1, name="small", tiles=2, queue_instructions=1 << 20)
Array = NDArray[Any]


class ScheduledRun:
    """Of a program for one chip: what it leaves in every value that it writes, and in its tiles, in both ways."""

    def __init__(self, program: VectorProgram, *, chip: ChipSpec = SMALL, seed: int = 0) -> None:
        written = tuple(dict.fromkeys(name for each in program.operations for name in list_written_values(each)))
        self._program, self._chip = program, chip
        part = Part(program, program.name, 1, written)
        template = schedule_program(program, place_parts([part], chip)[0], GroupShape(1), chip)
        self._placed = Placed(template, 0)
        self.scheduled_cycles = template.last_cycle + chip.tiles if template.last_cycle >= 0 else 0
        self.meaning = Interpreter(program, chip)
        self._fill(np.random.default_rng(seed))
        program_text = self._write_program()
        self.checked_cycles = check_program(program_text, chip).cycles
        machine = Machine(program_text, chip)
        for value in program.values:
            machine.write(name_value(self._placed, value, 0), self.meaning.values[value.name][0])
        self.cycles = machine.run().cycles
        self.meaning.run(program)
        self.values = {
            value.name: machine.read(name_value(self._placed, value, 0))
            for value in program.values
            if value.name in written
        }
        self.tiles = {name: self._read_tiles(machine, name) for name in self.meaning.tiles}

    def assert_alike(self) -> None:
        """Bits and cycles."""
        assert self.cycles == self.scheduled_cycles == self.checked_cycles
        for name, found in self.values.items():
            np.testing.assert_array_equal(_bits(found), _bits(self.meaning.values[name][0]), err_msg=name)
        for name, tiles in self.tiles.items():
            np.testing.assert_array_equal(tiles, self.meaning.tiles[name][0], err_msg=name)

    def _fill(self, random: np.random.Generator) -> None:
        for value in self._program.values:
            held = self.meaning.values[value.name]
            held[:] = _draw(random, value, held.shape)
        for tiles in self.meaning.tiles.values():
            tiles[:] = random.integers(-127, 128, tiles.shape)

    def _write_program(self) -> Program:
        regions: list[Region] = [
            make_value_region(self._placed, value, self._chip, 0, "input") for value in self._program.values
        ]
        for tiles in self._program.tiles:
            data = self.meaning.tiles[tiles.name][0]
            regions += make_tile_regions(self._placed, tiles, self._chip, 0, data)
        queues = write_queues([self._placed], 0, self._chip, is_aligned=False)
        return Program(self._program.name, (queues,), tuple(regions))

    def _read_tiles(self, machine: Machine, name: str) -> Array:
        tiles = next(tiles for tiles in self._program.tiles if tiles.name == name)
        planes = self._placed.template.placement.tiles[name].planes
        found = np.zeros(self.meaning.tiles[name].shape[1:], np.int8)
        for number, plane in enumerate(planes):
            part = found[number :: len(planes)]
            part[:] = machine.read(name_tiles(self._placed, tiles, 0, plane)).reshape(part.shape)
        return found


def _draw(random: np.random.Generator, value: Value, shape: tuple[int, ...]) -> Array:
    if value.dtype.is_float:
        return (random.standard_normal(shape) * 10.0 ** random.integers(-3, 3, shape)).astype(value.dtype.numpy)
    if value.kind == "constant" and value.dtype.numpy == np.uint16:
        return np.stack([random.permutation(shape[-1]) for _ in range(shape[1])])[None].astype(np.uint16)
    wide = value.dtype in (DataType.INT32, DataType.UINT16)
    drawn = random.integers(-(1 << 20) if wide else -128, 1 << 20 if wide else 128, shape)
    return drawn.astype(value.dtype.numpy)


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8)
