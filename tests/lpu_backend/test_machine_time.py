"""Cycles: streams, the skew over the tiles, queues."""

from dataclasses import replace

import numpy as np
import pytest

from lpu_backend.assembly import AssemblyError, assemble
from lpu_backend.checker import check_program
from lpu_backend.chip import plan_floor
from lpu_backend.hazards import HazardError, HazardKind
from lpu_backend.isa.instructions import Read
from lpu_backend.isa.operands import Stream
from lpu_backend.machine import Dispatch, run_program
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.streams import StreamRegisters
from lpu_backend.machine.vectors import Vector
from tests.lpu_backend.small_chip import LANES, SMALL_CHIP, count_lanes, run_text

E0 = Stream("E", 0)
ISSUE = Issue(plan_floor(SMALL_CHIP).queues["MEM_W0"], Read(0, E0), 0, SMALL_CHIP.tiles)

COPY = """
.input x int8[1, 32] MEM_W3 0x0
.output y int8[1, 32] MEM_E3 0x1
queue MEM_W3
    Read 0x0, E0
queue MEM_E3
@{arrival} Write 0x1, E0
"""


def test_a_vector_moves_one_register_a_cycle() -> None:
    run = run_text(
        COPY.replace("{arrival}", str(5 + 8)), {"x": count_lanes()}
    )  # d_func 5, MEM_W3 to MEM_E3 is 8 positions
    np.testing.assert_array_equal(run.outputs["y"], count_lanes())


def test_time_is_tiles_plus_function_plus_distance() -> None:
    run = run_text(COPY.replace("{arrival}", "13"), {"x": count_lanes()})
    assert run.cycles == SMALL_CHIP.tiles + 5 + 8
    assert run.dispatched == 2


@pytest.mark.parametrize(("arrival", "reason"), [(12, "has not arrived"), (14, "has passed")])
def test_a_cycle_too_early_or_too_late_finds_nothing(arrival: int, reason: str) -> None:
    with pytest.raises(HazardError, match=reason) as caught:
        run_text(COPY.replace("{arrival}", str(arrival)), {"x": count_lanes()})
    hazard = caught.value.hazard
    assert (hazard.kind, hazard.cycle, hazard.queue) == (HazardKind.OPERAND_MISSING, arrival, "MEM_E3")
    assert "1 cycles" in hazard.detail
    assert "MEM_W3" in hazard.detail


def test_a_west_stream_moves_west() -> None:
    text = """
    .input x int8[1, 32] MEM_E3 0x0
    .output y int8[1, 32] MEM_W3 0x1
    queue MEM_E3
        Read 0x0, W31
    queue MEM_W3
    @13 Write 0x1, W31
    """
    np.testing.assert_array_equal(run_text(text, {"x": count_lanes()}).outputs["y"], count_lanes())


def test_driving_overwrites_what_passes_by() -> None:
    text = """
    .input old int8[1, 32] MEM_W3 0x0
    .input new int8[1, 32] MEM_W1 0x0
    .output before int8[1, 32] MEM_W2 0x1
    .output after int8[1, 32] MEM_E0 0x1
    queue MEM_W3
        Read 0x0, E0          ; drives at 5, is at MEM_W1 at 7
    queue MEM_W1
    @2  Read 0x0, E0          ; drives at 7
    queue MEM_W2
    @6  Write 0x1, E0
    queue MEM_E0
    @10 Write 0x1, E0
    """
    run = run_text(text, {"old": count_lanes(), "new": count_lanes() + 1})
    np.testing.assert_array_equal(run.outputs["before"], count_lanes())
    np.testing.assert_array_equal(run.outputs["after"], count_lanes() + 1)


def test_a_repeat_dispatches_again_with_its_step() -> None:
    text = """
    .input x int8[4, 32] MEM_W0 0x0
    .output y int8[4, 32] MEM_E0 0x10
    queue MEM_W0
        Read 0x0, E0 step 1
        Repeat 3, 2
        Read 0x0, E1
    queue MEM_E0
    @7  Write 0x10, E0 step 1
        Repeat 3, 2
    """
    x = np.arange(4 * LANES, dtype=np.int8).reshape(4, LANES)
    cycles: list[tuple[str, int]] = []

    def observe(dispatch: Dispatch) -> None:
        cycles.append((dispatch.queue.name, dispatch.cycle))

    run = run_text(text, {"x": x}, observer=observe)
    np.testing.assert_array_equal(run.outputs["y"], x)
    assert [cycle for queue, cycle in cycles if queue == "MEM_W0"] == [0, 2, 4, 6, 7]
    assert [cycle for queue, cycle in cycles if queue == "MEM_E0"] == [7, 9, 11, 13]


def test_a_notify_releases_every_parked_queue_after_the_barrier() -> None:
    text = """
    .input x int8[1, 32] MEM_W0 0x0
    .output y int8[1, 32] MEM_E0 0x1
    queue MEM_W0
        Sync
        Read 0x0, E0
    queue MEM_E0
        Sync
    @7  Write 0x1, E0
    queue VXM0
    @3  Notify
    """
    run = run_text(text, {"x": count_lanes()})
    np.testing.assert_array_equal(run.outputs["y"], count_lanes())
    assert run.cycles == 3 + SMALL_CHIP.barrier_cycles + 7 + SMALL_CHIP.tiles


def test_a_sync_in_the_cycle_of_a_release_waits_for_the_next_one() -> None:
    text = """
    queue MEM_W0
    @{sync} Sync
    queue VXM0
        Notify
    """
    release = SMALL_CHIP.barrier_cycles
    run_text(text.replace("{sync}", str(release - 1)))
    with pytest.raises(HazardError) as caught:
        run_text(text.replace("{sync}", str(release)))
    assert caught.value.hazard.kind is HazardKind.DEADLOCK


def test_config_powers_down_the_northern_tiles() -> None:
    text = """
    .input x int8[1, 32] MEM_W0 0x0
    .output y int8[1, 32] MEM_E0 0x1
    queue MEM_W0
        Config 1
        Read 0x0, E0
    queue MEM_E0
    @8  Write 0x1, E0
    """
    run = run_text(text, {"x": count_lanes() + 1})
    expected = count_lanes() + 1
    expected[0, 16:] = 0
    np.testing.assert_array_equal(run.outputs["y"], expected)


def test_a_write_with_tiles_powered_down_leaves_theirs_unwritten() -> None:
    text = """
    .input x int8[1, 32] MEM_W0 0x0
    queue MEM_W0
        Read 0x0, E0
    queue MEM_E0
        Config 1
    @7  Write 0x1, E0
        Read 0x1, E1
        Config 2
        Read 0x1, E1
    """
    with pytest.raises(HazardError, match="never written in tile 1") as caught:
        run_text(text, {"x": count_lanes()})
    assert (caught.value.hazard.kind, caught.value.hazard.cycle) == (HazardKind.UNWRITTEN, 10)


FETCH = """
.input x int8[1, 32] MEM_W0 0x0
.output y int8[1, 32] MEM_E0 0x1
.text more MEM_E1 0x8
    NOP 2
    Write 0x1, E0
    NOP 1
    NOP 1
queue MEM_W0
@5  Read 0x0, E0
queue MEM_E1
    Read 0x8, W0 step 1      ; drives at 5, is at MEM_E0 at 6
    Repeat 1, 1
queue MEM_E0
@5  Ifetch W0                ; takes at 6 and 7; joins at 9
    NOP {wait}
"""


def test_fetched_text_runs_behind_what_waits() -> None:
    run = run_text(FETCH.replace("{wait}", "4"), {"x": count_lanes()})  # slot 10: NOP 2; slot 12: Write, as 5 + 5 + 2
    np.testing.assert_array_equal(run.outputs["y"], count_lanes())


def test_a_queue_that_runs_dry_while_it_fetches_is_refused() -> None:
    with pytest.raises(HazardError) as caught:
        run_text(FETCH.replace("{wait}", "2"), {"x": count_lanes()})
    assert (caught.value.hazard.kind, caught.value.hazard.cycle) == (HazardKind.QUEUE_UNDERFLOW, 8)


ACCUMULATE = """
.input x int8[1, 32] MEM_W0 0x2
.constant low int8[16, 32] MEM_W0..MEM_W3 MEM_E0..MEM_E3 0x0 = 1 ...
.constant high int8[16, 32] MEM_W0..MEM_W3 MEM_E0..MEM_E3 0x20 = 1 ...
.output y int32[1, 32] MEM_W3..MEM_W0 0x10
.for i = 0 to 3                          ; 16 rows are at MXM_W0 at 20, the others at 21
queue MEM_W{i}
@{10 + i} Read 0x0, W{i} step 1 | Read 0x20, W{i + 4} step 1
    Repeat 1, 1
queue MEM_E{i}
@{8 - i} Read 0x0, W{i + 8} step 1 | Read 0x20, W{i + 12} step 1
    Repeat 1, 1
.end
queue MEM_W0
@14 Read 0x2, W0                         ; x is at MXM_W0 at 24, and again at 26
@16 Read 0x2, W0
queue MXM_W0_WEIGHTS
@19 LW W0, 0 step 16
    Repeat {loads}, 1
@22 IW 32
queue MXM_W0_ABC
@23 ABC.int8 W0
@25 ABC.int8 W0
queue MXM_W0_ACC
@54 Config 1
    ACC.new 0 -> -
    Config 2
    ACC.add {slot} -> E0                     ; E0 is at MEM_W3 at 61
.for i = 0 to 3
queue MEM_W{3 - i}
@{61 + i} Write 0x10, E{i}
.end
"""


def accumulate(loads: int = 1, slot: int = 0) -> np.ndarray:
    text = ACCUMULATE.replace("{loads}", str(loads)).replace("{slot}", str(slot))
    return run_text(text, {"x": count_lanes()}).outputs["y"]


def test_a_product_counts_as_zero_in_tiles_that_its_acc_has_powered_down() -> None:
    total = sum(range(LANES))
    np.testing.assert_array_equal(accumulate(), [[2 * total] * 16 + [total] * 16])


def test_rows_and_slots_past_the_last_are_no_instructions() -> None:
    with pytest.raises(HazardError) as caught:
        accumulate(loads=2)
    assert (caught.value.hazard.kind, caught.value.hazard.cycle) == (HazardKind.BAD_INSTRUCTION, 21)
    with pytest.raises(AssemblyError, match="slot is 0 to 63"):
        accumulate(slot=64)


def test_no_vector_in_flight_is_forgotten_however_narrow_the_chip() -> None:
    for width in range(7, 20):
        for ahead_cycles in (0, 34):
            registers = StreamRegisters(width, ahead_cycles)
            for cycle in range(1_000):
                for place in (0, 2, width - 1):
                    vector = Vector(np.full(1, cycle % 256, np.uint8))
                    assert registers.drive(E0, place, cycle + ahead_cycles, vector, ISSUE) is None
                if cycle > ahead_cycles + width:
                    seen = registers.sample(E0, width - 2, cycle)
                    assert seen is not None
                    assert seen.data[0] == (cycle - ahead_cycles - (width - 4)) % 256


def test_a_chip_with_another_load_port_is_the_same_to_assembler_checker_and_machine() -> None:
    chip = replace(SMALL_CHIP, mxm_load_streams=8)
    text = """
    .constant w int8[8, 32] MEM_W0..MEM_W3 MEM_E0..MEM_E3 0x0 = 1 ...
    .for i = 0 to 3                      ; eight rows are at MXM_W0 at 20
    queue MEM_W{i}
    @{10 + i} Read 0x0, W{i + 8}
    queue MEM_E{i}
    @{8 - i} Read 0x0, W{i + 12}
    .end
    queue MXM_W0_WEIGHTS
    @19 LW W8, 24
    @21 IW {rows}
    """
    first_rows = assemble(text.replace("LW W8, 24", "LW W8, 0").replace("{rows}", "8"), chip)
    assert check_program(first_rows, chip).cycles == run_program(first_rows, {}, chip).cycles
    for rows, start in (("9", "0"), ("32", "24")):
        program = assemble(text.replace("LW W8, 24", f"LW W8, {start}").replace("{rows}", rows), chip)
        for refuse in (check_program, lambda program, chip: run_program(program, {}, chip)):
            with pytest.raises(HazardError) as caught:
                refuse(program, chip)
            assert caught.value.hazard.kind is HazardKind.WEIGHTS
