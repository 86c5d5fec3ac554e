"""The naive machine against programs whose outcome is worked out by hand from docs/chip.md."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import (
    Accumulate,
    ActivationBuffer,
    Binary,
    Config,
    Convert,
    Distribute,
    Gather,
    InstallWeights,
    Instruction,
    LoadWeights,
    MemPair,
    Notify,
    Permute,
    Read,
    Repeat,
    Rotate,
    Scatter,
    Select,
    Shift,
    SxmInstruction,
    Sync,
    Transpose,
    Unary,
    Write,
)
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Stream
from tests.lpu_backend.naive_chip import NaiveHazardError, run_naively
from tests.lpu_backend.random_chains import (
    BANK,
    FLOOR,
    GATHER_ROW,
    MEM_SLICES,
    PERMUTATION_ROW,
    SCATTER_ROW,
    SMALL,
    ZERO_ROW,
)
from tests.lpu_backend.random_programs import Step, lay_out, make_inputs, make_program

# Positions on the small chip: MXM_W1 0, MXM_W0 1, SXM_W 2, MEM_W3..W0 3..6, VXM 7, MEM_E0..E3 8..11, SXM_E 12,
# MXM_E0 13, MXM_E1 14. Every slice holds `INPUTS[...]` from address 0 (and from BANK)
# on; its outputs begin at address 16.
INPUTS = make_inputs(seed=1)
E0, E1, W0 = Stream("E", 0), Stream("E", 1), Stream("W", 0)
Outputs = dict[str, NDArray[np.generic]]


def run(*steps: Step) -> tuple[Outputs, int]:
    queues = {step.queue: lay_out(each for each in steps if each.queue == step.queue) for step in steps}
    return run_naively(make_program(queues), INPUTS, SMALL)


def refuse(*steps: Step) -> tuple[HazardKind, int]:
    with pytest.raises(NaiveHazardError) as refused:
        run(*steps)
    return refused.value.kind, refused.value.cycle


def stored(slice_name: str, row: int = 0) -> NDArray[np.uint8]:
    row_bytes: NDArray[np.uint8] = INPUTS[f"{slice_name}_0"][row].astype(np.uint8)
    return row_bytes


def written(outputs: Outputs, slice_name: str, row: int = 0) -> NDArray[np.uint8]:
    row_bytes: NDArray[np.uint8] = outputs[f"{slice_name}_0"][16 + row].astype(np.uint8)
    return row_bytes


def test_a_read_takes_tiles_and_delay_and_distance_to_its_write() -> None:
    outputs, cycles = run(Step("MEM_W0", 0, Read(3, E0)), Step("MEM_E0", 7, Write(16, E0)))
    assert np.array_equal(written(outputs, "MEM_E0"), stored("MEM_W0", 3))
    assert cycles == 3 + 5 + 2


@pytest.mark.parametrize("cycle", [6, 8])
def test_a_write_a_cycle_off_finds_nothing(cycle: int) -> None:
    assert refuse(Step("MEM_W0", 0, Read(3, E0)), Step("MEM_E0", cycle, Write(16, E0))) == (
        HazardKind.OPERAND_MISSING,
        cycle,
    )


def test_a_vector_driven_onto_another_overwrites_it() -> None:
    outputs, _ = run(Step("MEM_W1", 0, Read(0, E0)), Step("MEM_W0", 1, Read(1, E0)), Step("MEM_E0", 8, Write(16, E0)))
    assert np.array_equal(written(outputs, "MEM_E0"), stored("MEM_W0", 1))


def test_two_producers_on_one_register_conflict() -> None:
    copy = Unary("Copy", DataType.UINT8, Immediate(7), E0)
    assert refuse(Step("VXM0", 2, copy), Step("VXM9", 2, copy)) == (HazardKind.STREAM_CONFLICT, 6)


def test_a_pair_needs_both_banks() -> None:
    outputs, _ = run(
        Step("MEM_W0", 0, MemPair(Read(0, E0), Read(BANK, E1))),
        Step("MEM_E0", 7, MemPair(Write(16, E0), Write(16 + BANK, E1))),
    )
    assert np.array_equal(outputs["MEM_E0_32"][16], INPUTS["MEM_W0_32"][0])
    assert refuse(Step("MEM_W0", 4, MemPair(Read(0, E0), Read(31, E1)))) == (HazardKind.BANK_CONFLICT, 4)


def test_a_repeat_steps_the_address_and_keeps_its_distance() -> None:
    outputs, cycles = run(
        Step("MEM_W0", 0, Read(0, E0, step=2), Repeat(2, 3)),
        Step("MEM_E0", 7, Write(16, E0, step=1), Repeat(2, 3)),
        Step("MEM_E0", 14, Write(23, E0)),
        Step("MEM_W0", 7, Read(1, E0)),
    )
    expected = [stored("MEM_W0", row) for row in (0, 2, 4, 1)]
    assert np.array_equal([written(outputs, "MEM_E0", row) for row in (0, 1, 2, 7)], expected)
    assert cycles == 14 + 3


@pytest.mark.parametrize(("notify_cycle", "sync_cycle"), [(0, 0), (0, 34), (4, 1)])
def test_a_sync_waits_for_the_release(notify_cycle: int, sync_cycle: int) -> None:
    queues = {
        "VXM0": lay_out([Step("VXM0", notify_cycle, Notify())]),
        "MEM_W0": (*lay_out([Step("MEM_W0", sync_cycle, Sync())]), Read(0, E0)),
        "MEM_E0": lay_out([Step("MEM_E0", notify_cycle + 35 + 7, Write(16, E0))]),
    }
    _, cycles = run_naively(make_program(queues), INPUTS, SMALL)
    assert cycles == notify_cycle + 35 + 7 + 3


def test_a_sync_at_the_release_is_too_late() -> None:
    kind, _ = refuse(Step("VXM0", 0, Notify()), Step("MEM_W0", 35, Sync()))
    assert kind is HazardKind.DEADLOCK


def test_a_tile_without_power_drives_zeros_and_keeps_its_memory() -> None:
    outputs, _ = run(
        Step("MEM_W0", 0, Config(2)),
        Step("MEM_W0", 1, Read(0, E0)),
        Step("MEM_W1", 7, Read(0, E0)),
        Step("MEM_E0", 0, Config(1)),
        Step("MEM_E1", 9, Write(16, E0)),
        Step("MEM_E1", 16, Write(17, E0)),
        Step("MEM_E0", 15, Write(16, E0)),
    )
    assert np.array_equal(written(outputs, "MEM_E1"), np.where(np.arange(48) < 32, stored("MEM_W0"), 0))
    assert np.array_equal(
        written(outputs, "MEM_E0"), np.where(np.arange(48) < 16, stored("MEM_W1"), stored("MEM_E0", 16))
    )
    assert np.array_equal(written(outputs, "MEM_E1", 1), stored("MEM_W1"))


def test_words_never_written_and_addresses_past_the_slice_are_refused() -> None:
    assert refuse(Step("MEM_W0", 1, Read(24, E0))) == (HazardKind.UNWRITTEN, 1)
    assert refuse(Step("MEM_W0", 1, Read(62, E0, step=1), Repeat(2, 4)))[0] is HazardKind.UNWRITTEN
    assert refuse(Step("MEM_W0", 1, Read(64, E0))) == (HazardKind.ADDRESS, 1)


def test_each_tile_gathers_and_scatters_at_its_own_address() -> None:
    outputs, _ = run(
        Step("MEM_W0", 9, Read(GATHER_ROW, Stream("W", 4))),
        Step("MEM_E0", 7, Read(ZERO_ROW, Stream("W", 5))),
        Step("MEM_W1", 15, Gather(E0, Stream("W", 4))),
        Step("MEM_E0", 24, Write(16, E0)),
    )
    addresses = stored("MEM_W0", GATHER_ROW)[::16]
    both_banks = {row + bank: INPUTS[f"MEM_W1_{bank}"][row] for row in range(8) for bank in (0, BANK)}
    expected = [both_banks[int(address)][16 * k : 16 * k + 16] for k, address in enumerate(addresses)]
    assert np.array_equal(written(outputs, "MEM_E0"), np.concatenate(expected))


def test_a_scatter_leaves_all_other_words_alone() -> None:
    outputs, _ = run(
        Step("MEM_E2", 0, Read(0, Stream("W", 2))),
        Step("MEM_E1", 1, Read(SCATTER_ROW, W0)),
        Step("MEM_E0", 2, Read(ZERO_ROW, Stream("W", 1))),
        Step("MEM_W0", 9, Scatter(Stream("W", 2), W0)),
    )
    expected = np.zeros((64, 48), np.uint8)
    expected[:24], expected[32:56] = INPUTS["MEM_W0_0"], INPUTS["MEM_W0_32"]
    for k, address in enumerate(stored("MEM_E1", SCATTER_ROW)[::16]):
        expected[address, 16 * k : 16 * k + 16] = stored("MEM_E2")[16 * k : 16 * k + 16]
    assert np.array_equal(outputs["MEM_W0_0"], expected[:24])
    assert np.array_equal(outputs["MEM_W0_32"], expected[32:56])


def test_an_alu_reads_its_neighbours_result_from_the_cycle_it_enters() -> None:
    steps = [
        Step("MEM_W0", 0, Read(0, E0)),
        Step("VXM5", 5, Unary("Copy", DataType.UINT8, E0, None)),
        Step("MEM_E0", 13, Write(16, E1)),
    ]
    add = Binary("Add", DataType.UINT8, AluResult(5), Immediate(0x103), E1)
    outputs, _ = run(*steps, Step("VXM9", 8, add))
    assert np.array_equal(written(outputs, "MEM_E0"), stored("MEM_W0") + np.uint8(3))
    assert refuse(*steps, Step("VXM9", 7, add)) == (HazardKind.ALU_RESULT, 8)
    assert refuse(*steps, Step("VXM7", 8, add))[0] is HazardKind.BAD_INSTRUCTION
    negate = Unary("Negate", DataType.INT8, AluResult(5), E1)
    assert refuse(*steps, Step("VXM9", 8, negate)) == (HazardKind.BAD_INSTRUCTION, 9)


def test_a_conversion_drives_a_group_of_streams_lowest_byte_first() -> None:
    outputs, _ = run(
        Step("MEM_W0", 0, Read(0, E0)),
        Step("VXM0", 5, Convert(DataType.INT8, DataType.INT32, E0, Stream("E", 4))),
        *(Step(f"MEM_E{byte}", 10 + byte, Write(16, Stream("E", 4 + byte))) for byte in range(4)),
    )
    planes = [written(outputs, f"MEM_E{byte}") for byte in range(4)]
    numbers = np.stack(planes, axis=1).copy().view("<i4")[:, 0]
    assert np.array_equal(numbers, stored("MEM_W0").view(np.int8))


def load_plane(position: int, *planes: int) -> list[Step]:
    """All 48 rows on E0..E15, at `position` in cycles 20 to 22 and one further each cycle: installed from 24 on."""
    steps = []
    for place, name in enumerate(MEM_SLICES):
        reads = MemPair(Read(0, Stream("E", place), step=1), Read(BANK, Stream("E", 8 + place), step=1))
        steps.append(Step(name, 20 - 5 - (position - FLOOR.positions[name]), reads, Repeat(2, 1)))
    for plane in planes:
        weights = f"MXM_E{plane}_WEIGHTS"
        steps.append(Step(weights, 19 + 13 + plane - position, LoadWeights(E0, 0, step=16), Repeat(2, 1)))
        steps.append(Step(weights, 23 + 13 + plane - position, InstallWeights(48)))
    return steps


def loaded_rows() -> NDArray[np.uint8]:
    """[48, 48] weights that `load_plane` loads."""
    columns = [INPUTS[f"{name}_{bank}"] for bank in (0, BANK) for name in MEM_SLICES]
    return np.concatenate([[column[load] for column in columns] for load in range(3)]).astype(np.uint8)


MULTIPLY_INT8 = [
    *load_plane(13, 0),
    Step("MEM_E3", 20, Read(7, E0)),
    Step("MXM_E0_ABC", 26, ActivationBuffer(DataType.INT8, E0)),
    Step("MXM_E0_ACC", 58, Accumulate("new", 9, Stream("W", 4))),
    *(Step(f"MEM_E{byte}", 65 - byte, Write(16, Stream("W", 4 + byte))) for byte in range(4)),
]


def test_the_mxm_multiplies_integers() -> None:
    outputs, cycles = run(*MULTIPLY_INT8)
    planes = [written(outputs, f"MEM_E{byte}") for byte in range(4)]
    product = np.stack(planes, axis=1).copy().view("<i4")[:, 0]
    weights = loaded_rows().view(np.int8).astype(np.int64)
    assert np.array_equal(product, weights @ stored("MEM_E3", 7).view(np.int8).astype(np.int64))
    assert cycles == 65 + 3


def replace_step(steps: list[Step], old: type, cycle: int) -> list[Step]:
    return [Step(s.queue, cycle, s.instruction, s.repeat) if isinstance(s.instruction, old) else s for s in steps]


@pytest.mark.parametrize(
    ("moved", "cycle", "hazard"),
    [
        (Accumulate, 57, (HazardKind.PRODUCT, 57)),
        (Accumulate, 59, (HazardKind.PRODUCT, 58)),
        (InstallWeights, 22, (HazardKind.WEIGHTS, 22)),
        (InstallWeights, 27, (HazardKind.WEIGHTS, 27)),
    ],
)
def test_the_mxm_refuses_what_comes_too_early_or_too_late(
    moved: type, cycle: int, hazard: tuple[HazardKind, int]
) -> None:
    assert refuse(*replace_step(MULTIPLY_INT8, moved, cycle)) == hazard


def test_an_accumulator_must_be_set_before_it_is_added_to() -> None:
    steps = [step for step in MULTIPLY_INT8 if not isinstance(step.instruction, Accumulate)]
    add = Step("MXM_E0_ACC", 58, Accumulate("add", 9, None))
    assert refuse(*steps, add) == (HazardKind.ACCUMULATOR, 58)


def test_fp16_takes_both_planes_and_rounds_once() -> None:
    steps = [
        *load_plane(13, 0, 1),
        Step("MEM_E3", 21, MemPair(Read(5, E0), Read(BANK + 6, E1))),
        Step("MXM_E0_ABC", 27, ActivationBuffer(DataType.FP16, E0)),
        Step("MXM_E0_ACC", 61, Accumulate("new", 0, Stream("W", 4))),
        *(Step(f"MEM_E{byte}", 68 - byte, Write(16, Stream("W", 4 + byte))) for byte in range(4)),
    ]
    outputs, _ = run(*steps)
    product = np.stack([written(outputs, f"MEM_E{byte}") for byte in range(4)], axis=1).copy().view("<f4")[:, 0]
    weights = np.stack([loaded_rows()] * 2, axis=2).copy().view("<f2")[:, :, 0].astype(np.float64)
    halves = np.stack([stored("MEM_E3", 5), INPUTS["MEM_E3_32"][6].astype(np.uint8)], axis=1).copy().view("<f2")
    with np.errstate(invalid="ignore"):
        expected = weights @ halves[:, 0].astype(np.float64)
    assert np.allclose(product, expected, rtol=1e-6, equal_nan=True)
    assert np.count_nonzero(np.isfinite(product)) > 0
    another = Step("MXM_E1_ABC", 28, ActivationBuffer(DataType.INT8, E0))
    assert refuse(*steps, another) == (HazardKind.ISSUE_INTERVAL, 28)


def rearrange(queue: str, instruction: SxmInstruction, func: int, results: int = 1) -> list[NDArray[np.uint8]]:
    """What an SXM_E unit makes of rows 0 and 1 of MEM_E3 on E2 and E3, and of MEM_E2's map on E0 and E1."""
    inputs = [
        Step("MEM_E3", 3, MemPair(Read(0, Stream("E", 2)), Read(BANK + 1, Stream("E", 3)))),
        Step("MEM_E2", 2, MemPair(Read(PERMUTATION_ROW, E0), Read(BANK + ZERO_ROW, E1))),
    ]
    given = []
    for result in range(results):
        to = Stream("W", result)
        outputs, _ = run(*inputs, Step(queue, 8, instruction), Step("MEM_E3", 9 + func, Write(16, to)))
        given.append(written(outputs, "MEM_E3"))
    return given


E2, E3 = Stream("E", 2), Stream("E", 3)
FIRST, SECOND = stored("MEM_E3", 0), INPUTS["MEM_E3_32"][1].astype(np.uint8)
PERMUTATION = stored("MEM_E2", PERMUTATION_ROW)


@pytest.mark.parametrize(
    ("queue", "instruction", "func", "expected"),
    [
        ("SXM_E_SHIFT0", Shift(E2, 5, W0), 23, np.concatenate([np.zeros(5, np.uint8), FIRST[:-5]])),
        ("SXM_E_SHIFT1", Shift(E2, -17, W0), 23, np.concatenate([FIRST[17:], np.zeros(17, np.uint8)])),
        ("SXM_E_SHIFT0", Select(E2, E3, 21, W0), 3, np.concatenate([FIRST[:21], SECOND[21:]])),
        ("SXM_E_PERMUTE", Permute(E2, E0, W0), 26, FIRST[PERMUTATION]),
        (
            "SXM_E_DISTRIBUTE",
            Distribute(E2, (16, 3, *range(14)), W0),
            3,
            np.concatenate([[0, part[3], *part[:14]] for part in FIRST.reshape(3, 16)]),
        ),
    ],
)
def test_the_sxm_moves_lanes(queue: str, instruction: SxmInstruction, func: int, expected: NDArray[np.uint8]) -> None:
    assert np.array_equal(rearrange(queue, instruction, func)[0], expected)


def test_rotate_makes_every_rotation_of_the_block_of_each_tile() -> None:
    rotations = rearrange("SXM_E_ROTATE", Rotate(3, E2, W0), 4, results=9)
    for stream, rotation in enumerate(rotations):
        for part, block in zip(rotation.reshape(3, 16), FIRST.reshape(3, 16), strict=True):
            rolled = np.roll(block[:9].reshape(3, 3), (-(stream // 3), -(stream % 3)), axis=(0, 1))
            assert np.array_equal(part, [*rolled.reshape(9), *[0] * 7])


def test_transpose_turns_16_streams_by_16_lanes() -> None:
    reads = [step for step in load_plane(12) if isinstance(step.instruction, MemPair)]
    transpose = Step("SXM_E_TRANSPOSE", 19, Transpose(E0, W0))
    outputs, _ = run(*reads, transpose, Step("MEM_E3", 24, Write(16, Stream("W", 6))))
    assert np.array_equal(written(outputs, "MEM_E3").reshape(3, 16), loaded_rows()[:16].reshape(16, 3, 16)[:, :, 6].T)


def test_a_map_that_is_no_bijection_is_refused() -> None:
    steps = [
        Step("MEM_E3", 3, MemPair(Read(0, E0), Read(BANK + ZERO_ROW, E1))),
        Step("SXM_E_PERMUTE", 8, Permute(E0, E0, W0)),
    ]
    assert refuse(*steps) == (HazardKind.PERMUTATION, 9)


@pytest.mark.parametrize(
    ("queue", "instruction"),
    [
        ("MEM_W0", Shift(E0, 1, W0)),
        ("VXM0", Read(0, E0)),
        ("VXM0", Repeat(1, 1)),
        ("VXM0", Unary("Copy", DataType.FP16, E1, None)),
        ("VXM0", Unary("Exp", DataType.INT8, E1, None)),
        ("MXM_W1_ABC", ActivationBuffer(DataType.FP16, E0)),
        ("MEM_W0", Read(0, Stream("E", 16))),
    ],
)
def test_an_instruction_of_another_unit_or_with_a_bad_operand_is_refused(queue: str, instruction: Instruction) -> None:
    assert refuse(Step(queue, 3, instruction))[0] is HazardKind.BAD_INSTRUCTION


def test_a_chip_too_tall_for_d_func_is_noticed() -> None:
    tall = ChipSpec(name="tall", tiles=24, mem_slices=8, streams_each_way=16, mem_addresses=64)
    queues = {
        "VXM0": (Unary("Copy", DataType.UINT8, Immediate(1), E0),),
        "SXM_E_SHIFT0": lay_out([Step("SXM_E_SHIFT0", 8, Shift(E0, 1, W0))]),
    }
    program = make_program(queues)
    with pytest.raises(AssertionError, match="d_func is too short"):
        run_naively(type(program)("tall", program.queues), {}, tall)


def test_the_earliest_hazard_of_the_southernmost_tile_comes_first() -> None:
    """The map's fault is seen in the last tile, two cycles after the other hazard, but takes place before it."""
    map_steps = [
        Step("MEM_E3", 3, MemPair(Read(0, E0), Read(BANK + ZERO_ROW, E1))),
        Step("SXM_E_PERMUTE", 8, Permute(E0, E0, W0)),
    ]
    assert refuse(*map_steps, Step("MEM_W0", 10, Write(16, E0))) == (HazardKind.PERMUTATION, 9)
