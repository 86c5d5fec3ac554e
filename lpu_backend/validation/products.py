"""How long large products take on the MXM: vector programs of one MatMul, scheduled as those of models are."""

from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.placing import Part, place_parts
from lpu_backend.compiler.scheduling import schedule_program
from lpu_backend.compiler.vector_program import MatMul, Rows, Tiles, Value, VectorProgram
from lpu_backend.isa.operands import DataType

_FP16_SHARE = 4
"""fp16 multiplies at a quarter of int8's rate (TSP, MULTI: 2 fp16 or 4 int8 sub-operations, half as long)."""


class Product(NamedTuple):
    """[vectors x inputs] x [inputs x `output_tiles` tiles of lanes], int8, on one chip; how its rows are spread."""

    vectors: int
    inputs: int
    output_tiles: int
    source_spread: int
    result_spread: int


UTILISATION = Product(2_304, 4_096, 4, 4, 2)
"""MULTI's [2304 x 4096] x [4096 x N], for N = 1,280: a row of tiles a plane."""
DISTRIBUTED = Product(800, 32_576, 4, 12, 1)
"""A chip's part of MULTI's [800 x 32576] x [32576 x 8192] on 8: 1,024 outputs, in four rows of tiles. Its sums are its
own, so that chips exchange nothing."""


def build_product(product: Product, chip: ChipSpec) -> VectorProgram:
    """The program of a product, whose operands and results are in SRAM."""
    columns, count = -(-product.inputs // chip.lanes), product.vectors
    vectors = tuple(tuple(range(vector * columns, (vector + 1) * columns)) for vector in range(count))
    destinations = tuple(Rows("y", vector, count) for vector in range(count))
    return VectorProgram(
        "product",
        1,
        (
            Value("x", DataType.INT8, count * columns, "input", spread=product.source_spread),
            Value("y", DataType.INT32, count * product.output_tiles, "output", spread=product.result_spread),
        ),
        (Tiles("w", product.output_tiles, columns, chip.lanes),),
        (MatMul("multiply", "w", "x", vectors, destinations),),
    )


def count_product_cycles(product: Product, chip: ChipSpec) -> int:
    """The cycles of its schedule."""
    program = build_product(product, chip)
    (placement,) = place_parts([Part(program, "product", kept=("y",))], chip)
    return schedule_program(program, placement, GroupShape(1), chip).cycles


def measure_utilisation(chip: ChipSpec) -> float:
    """Percent of the multiplications that all planes could do in the schedule's cycles."""
    done = UTILISATION.vectors * UTILISATION.inputs * UTILISATION.output_tiles * chip.lanes
    return 100 * done / (count_product_cycles(UTILISATION, chip) * chip.mxm_int8_macs_per_cycle)


def measure_distributed_us(chip: ChipSpec) -> float:
    """Microseconds of the distributed product, as if in fp16: the int8 schedule's, four times as long."""
    return _FP16_SHARE * count_product_cycles(DISTRIBUTED, chip) * 1e6 / chip.clock_hz
