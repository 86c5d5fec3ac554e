"""How well a large product uses the MXM: a vector program of one MatMul, scheduled as those of models are."""

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.placing import Part, place_parts
from lpu_backend.compiler.scheduling import schedule_program
from lpu_backend.compiler.vector_program import MatMul, Rows, Tiles, Value, VectorProgram
from lpu_backend.isa.operands import DataType

_INPUTS = 4_096
_VECTORS = 576
"""A quarter of the 2,304 rows of MULTI's matrix, as many as the slices beside the weights hold; the rest would take as
long again, three times."""
_OUTPUT_TILES = 4
_SPREAD = 4


def build_product(chip: ChipSpec) -> VectorProgram:
    """[576 x 4096] x [4096 x 1280], int8: a row of tiles a plane."""
    columns, count = -(-_INPUTS // chip.lanes), _VECTORS
    vectors = tuple(tuple(range(vector * columns, (vector + 1) * columns)) for vector in range(count))
    destinations = tuple(Rows("y", vector, count) for vector in range(count))
    return VectorProgram(
        "product",
        1,
        (
            Value("x", DataType.INT8, count * columns, "input", spread=_SPREAD),
            Value("y", DataType.INT32, count * _OUTPUT_TILES, "output", spread=1),
        ),
        (Tiles("w", _OUTPUT_TILES, columns, chip.lanes),),
        (MatMul("multiply", "w", "x", vectors, destinations),),
    )


def measure_utilisation(chip: ChipSpec) -> float:
    """Percent of the multiplications that all planes could do in the schedule's cycles."""
    program = build_product(chip)
    (placement,) = place_parts([Part(program, "product", kept=("y",))], chip)
    template = schedule_program(program, placement, GroupShape(1), chip)
    done = _VECTORS * _INPUTS * _OUTPUT_TILES * chip.lanes
    return 100 * done / (template.cycles * chip.mxm_int8_macs_per_cycle)
