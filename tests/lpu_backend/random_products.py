"""Chains that load an MXM plane, or both of a side, and multiply vectors."""

from random import Random
from typing import Literal

from lpu_backend.isa.instructions import Accumulate, ActivationBuffer, InstallWeights, LoadWeights, Repeat
from lpu_backend.isa.operands import DataType, Direction, Stream
from tests.lpu_backend.random_chains import FLOOR, SMALL, Chain, draw_delay, draw_repeat


def multiply_matrix(rng: Random) -> Chain:
    """Loads a plane, or both of a side for fp16, and multiplies one to three vectors into an accumulator."""
    side: Direction = "E" if rng.random() < 0.5 else "W"
    dtype = rng.choice([DataType.INT8, DataType.INT8, DataType.FP16])
    planes = [0, 1] if dtype is DataType.FP16 else [rng.randrange(2)]
    loads = rng.randint(1, 3)
    load = Chain(rng, Repeat(loads - 1, 1) if loads > 1 else None)
    load.read_sixteen(side, FLOOR.positions[f"MXM_{side}{planes[0]}"], 0)
    multiply = Chain(rng)
    for late, plane in enumerate(planes):  # the same vectors reach the outer plane a cycle later
        weights = f"MXM_{side}{plane}_WEIGHTS"
        load.add(weights, late - SMALL.timing("LW").skew, LoadWeights(Stream(side, 0), 0, step=16))
        multiply.steps = load.steps
        rows = rng.choice([16 * loads, rng.randint(1, 16 * loads)])
        multiply.add(weights, late + loads + draw_delay(rng), InstallWeights(rows))
    installed = max(step.cycle for step in multiply.steps) + SMALL.timing("IW").func
    if rng.random() > 0.8:
        crowd_planes(multiply, side, planes, installed)
    else:
        multiply_vectors(multiply, side, planes[0], dtype, installed + draw_delay(rng))
    return multiply


def multiply_vectors(chain: Chain, side: Direction, plane: int, dtype: DataType, sampled: int) -> None:
    """One product after the other, added up in one accumulator, or repeated with an accumulator each."""
    slot = chain.rng.randrange(3)
    chain.repeat = draw_repeat(chain.rng, SMALL.timing(f"ABC.{dtype.value}").interval)
    if chain.repeat:
        multiply_vector(chain, f"MXM_{side}{plane}", dtype, sampled, ("new", slot))
        sampled += chain.repeat.count * chain.repeat.distance + 2
        chain.repeat = None
        multiply_vector(chain, f"MXM_{side}{plane}", dtype, sampled, ("add", slot + chain.rng.randrange(2)))
        return
    for time in range(chain.rng.randint(1, 3)):
        multiply_vector(chain, f"MXM_{side}{plane}", dtype, sampled, ("add" if time else "new", slot))
        sampled += SMALL.timing(f"ABC.{dtype.value}").interval + draw_delay(chain.rng)


def crowd_planes(chain: Chain, side: Direction, planes: list[int], sampled: int) -> None:
    """Products of both types and planes within a few cycles of each other, which may be too close."""
    rng = chain.rng
    for _ in range(rng.randint(2, 3)):
        plane = rng.choice(planes)
        is_inner_of_two = planes == [0, 1] and plane == 0
        dtype = DataType.FP16 if is_inner_of_two and rng.random() < 0.5 else DataType.INT8
        mode: Literal["new", "add"] = "add" if rng.random() > 0.6 else "new"
        multiply_vector(chain, f"MXM_{side}{plane}", dtype, sampled + rng.randrange(6), (mode, rng.randrange(2)))


def multiply_vector(
    chain: Chain, name: str, dtype: DataType, sampled: int, accumulator: tuple[Literal["new", "add"], int]
) -> None:
    """An ABC that samples in a cycle, the ACC of its product, and Writes of what that drives, if anything."""
    inward: Direction = "W" if name.startswith("MXM_E") else "E"
    outward: Direction = "E" if inward == "W" else "W"
    position, timing = FLOOR.positions[name], SMALL.timing(f"ABC.{dtype.value}")
    x = chain.stream(outward, count=dtype.streams)
    chain.read_group(x, dtype.streams, position, sampled)
    chain.add(f"{name}_ABC", sampled - timing.skew, ActivationBuffer(dtype, x))
    to = chain.stream(inward, count=4) if chain.rng.random() < 0.7 else None
    due = sampled - timing.skew + timing.func
    if (f"{name}_ACC", due) not in chain.list_used():  # two products may be due at once, which is a hazard
        chain.add(f"{name}_ACC", due, Accumulate(*accumulator, to, abs(chain.step_field())))
    if to is not None:
        chain.write_some(to, 4, position, due + SMALL.timing("ACC").func)
