"""Mean and deviation of rows, for layer norms. docs/numerics.md, "LayerNorm"."""

from collections.abc import Sequence
from typing import NamedTuple

from lpu_backend.compiler.agreeing import FP32
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, number
from lpu_backend.compiler.matrices import join_planes
from lpu_backend.compiler.scaling import Planes, join_squares, sum_lanes, sum_squares


class Moments(NamedTuple):
    """A row a group: the mean, and one over the deviation."""

    mean: str
    root: str


def find_moments(
    program: ProgramBuilder, name: str, planes: Planes, groups: int, used: Sequence[int], width: int, epsilon: float
) -> Moments:
    """Of each group's rows in the columns `used`, from the whole numbers of its planes: one pass over the data."""
    first = [[planes.row(group, column, 0) for column in used] for group in range(groups)]
    sums = sum_lanes(program, f"{name} planes", planes.planes, 2, first)
    squares = sum_squares(program, name, planes, groups, used)
    mean, steps, root = (program.local(f"{name} {what}", FP32, groups) for what in ("mean", "mean in steps", "root"))

    m = MapBuilder(program, f"mean of {name}", groups)
    found = m.op("Mul", FP32, join_planes(m, *(m.read(value) for value in sums)), number(1.0 / width))
    m.write(found, steps)
    m.write(m.op("Mul", FP32, found, m.read(planes.scale)), mean)
    m.finish()

    # In two Maps: one would leave no ALU to hold back what is wanted later.
    mean_square = program.local(f"{name} mean square", FP32, groups)
    m = MapBuilder(program, f"mean square of {name}", groups)
    m.write(m.op("Mul", FP32, join_squares(m, squares), number(1.0 / width)), mean_square)
    m.finish()

    m = MapBuilder(program, f"deviation of {name}", groups)
    square_of_mean = m.op("Mul", FP32, m.read(steps), m.read(steps))
    variance = m.op("Max", FP32, m.op("Sub", FP32, m.read(mean_square), square_of_mean), number(0.0))
    scale = m.read(planes.scale)
    variance = m.op("Mul", FP32, m.op("Mul", FP32, variance, scale), scale)
    m.write(m.op("RSqrt", FP32, m.op("Add", FP32, variance, number(epsilon))), root)
    m.finish()
    return Moments(mean, root)
