"""Cycles: streams, the skew over the tiles, queues."""

import numpy as np
import pytest

from lpu_backend.hazards import HazardError, HazardKind
from lpu_backend.machine import Dispatch
from tests.lpu_backend.small_chip import LANES, SMALL_CHIP, count_lanes, run_text

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
