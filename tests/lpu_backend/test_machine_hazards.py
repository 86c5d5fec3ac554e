"""What hardware would corrupt in silence: each with its kind, cycle and queue, beside a neighbour that runs."""

import numpy as np
import pytest

from lpu_backend.hazards import HazardError, HazardKind
from tests.lpu_backend.small_chip import LANES, count_lanes, run_text

HEAD = """
.input x int8[1, 32] MEM_W0 0x0
.input y int8[1, 32] MEM_W1 0x0
.constant weights int8[32, 32] MEM_E0 MEM_E1 MEM_E2 MEM_E3 MEM_W3..MEM_W0 0x20 = 1 ...
.constant far uint16[1, 32] MEM_W2 MEM_W3 0x10 = 64 ...
.constant twice uint16[1, 32] MEM_W2 MEM_W3 0x11 = 3 ...
"""


def refuse(text: str) -> tuple[HazardKind, int, str]:
    """Kind, cycle and queue of the hazard."""
    with pytest.raises(HazardError) as caught:
        run_text(HEAD + text, {"x": count_lanes(), "y": count_lanes()})
    hazard = caught.value.hazard
    assert f"cycle {hazard.cycle}, {hazard.queue}, `" in str(hazard)
    return hazard.kind, hazard.cycle, hazard.queue


def accept(text: str) -> None:
    run_text(HEAD + text, {"x": count_lanes(), "y": count_lanes()})


def test_two_drives_of_one_register_in_one_cycle_are_refused() -> None:
    # MEM_W0 drives E0 at 7 and 8, the VXM's registers have it at 8 and 9; d_skew is 1 and d_func 4.
    text = "queue MEM_W0\n@2 Read 0x0, E0\n Read 0x0, E0\n"
    text += "queue VXM0\n@7 Copy.int8 E0 -> E5\nqueue VXM1\n@{cycle} Copy.int8 E0 -> E5\n"
    assert refuse(text.replace("{cycle}", "7")) == (HazardKind.STREAM_CONFLICT, 11, "VXM1")
    accept(text.replace("{cycle}", "8"))


@pytest.mark.parametrize(("first", "second"), [("Read 0x0, E0", "Write 0x1, E1"), ("Write 0x1, E1", "Read 0x20, E0")])
def test_two_accesses_to_one_bank_in_one_cycle_are_refused(first: str, second: str) -> None:
    pair = f"queue MEM_W0\n@6 {first} | {second}\nqueue MEM_W1\n Read 0x0, E1\n"
    same_bank = pair.replace("0x20", "0x0")
    assert refuse(same_bank) == (HazardKind.BANK_CONFLICT, 6, "MEM_W0")
    other_bank = pair.replace("Write 0x1,", "Write 0x3f,") if "0x20" not in pair else pair
    accept(other_bank)


def test_a_read_of_what_was_never_written_is_refused() -> None:
    assert refuse("queue MEM_W0\n Read 0x5, E0") == (HazardKind.UNWRITTEN, 0, "MEM_W0")


def test_a_repeat_that_walks_off_the_slice_is_refused() -> None:
    writes = "queue MEM_W0\n Read 0x0, E0\n Repeat 9, 1\nqueue MEM_E0\n@7 Write {start}, E0 step 1\n Repeat 9, 1"
    assert refuse(writes.replace("{start}", "60")) == (HazardKind.ADDRESS, 11, "MEM_E0")
    accept(writes.replace("{start}", "54"))


def test_a_map_that_points_off_the_slice_is_refused() -> None:
    text = "queue MEM_W3\n Read {row}, E1\nqueue MEM_W2\n@1 Read {row}, E0\nqueue MEM_W1\n@7 Gather E4, E0\n"
    assert refuse(text.replace("{row}", "0x10")) == (HazardKind.ADDRESS, 7, "MEM_W1")
    assert refuse(text.replace("{row}", "0x11")) == (HazardKind.UNWRITTEN, 7, "MEM_W1")


def test_a_permute_by_what_is_no_bijection_is_refused() -> None:
    text = """
    queue MEM_W0
    @1  Read 0x0, W4
    queue MEM_W2
    @3  Read 0x11, W0
    queue MEM_W3
    @4  Read 0x11, W1
    queue SXM_W_PERMUTE
    @9  Permute W4, W0 -> E0
    """
    assert refuse(text) == (HazardKind.PERMUTATION, 10, "SXM_W_PERMUTE")


def test_weights_must_be_loaded_before_they_are_installed() -> None:
    assert refuse("queue MXM_W0_WEIGHTS\n IW 32") == (HazardKind.WEIGHTS, 0, "MXM_W0_WEIGHTS")


def test_an_activation_needs_installed_weights() -> None:
    text = "queue MEM_W0\n Read 0x0, W0\nqueue MXM_W0_ABC\n@9 ABC.int8 W0"
    assert refuse(text) == (HazardKind.WEIGHTS, 10, "MXM_W0_ABC")


def test_a_zeroed_array_is_installed_from_no_rows_and_its_product_must_be_taken() -> None:
    text = "queue MEM_W0\n@1 Read 0x0, W0\nqueue MXM_W0_WEIGHTS\n IW 0\nqueue MXM_W0_ABC\n@10 ABC.int8 W0\n"
    assert refuse(text) == (HazardKind.PRODUCT, 42, "MXM_W0_ABC")
    accept(text + "queue MXM_W0_ACC\n@42 ACC.new 0 -> -")
    assert refuse(text + "queue MXM_W0_ACC\n@41 ACC.new 0 -> -") == (HazardKind.PRODUCT, 41, "MXM_W0_ACC")
    assert refuse(text + "queue MXM_W0_ACC\n@42 ACC.add 0 -> -") == (HazardKind.ACCUMULATOR, 42, "MXM_W0_ACC")


FP16_PAIR = """
queue MEM_W0
@3  Read 0x0, W0
    Repeat 3, 1
queue MEM_W1
@4  Read 0x0, W1
    Repeat 3, 1
queue MXM_W0_WEIGHTS
    IW 0
queue MXM_W1_WEIGHTS
    IW 0
queue MXM_W0_ABC
@12 ABC.fp16 W0
queue MXM_W0_ACC
@46 ACC.new 0 -> -
"""


def test_an_fp16_vector_keeps_both_planes_for_two_cycles() -> None:
    accept(FP16_PAIR)
    outer = FP16_PAIR + "queue MXM_W1_ABC\n@{cycle} ABC.int8 W0\nqueue MXM_W1_ACC\n@{due} ACC.new 0 -> -\n"
    assert refuse(outer.replace("{cycle}", "13").replace("{due}", "45"))[0] is HazardKind.ISSUE_INTERVAL
    accept(outer.replace("{cycle}", "14").replace("{due}", "46"))


def test_an_alu_result_is_there_after_the_operation_and_has_its_type() -> None:
    text = "queue VXM0\n Copy.int32 #3 -> -\nqueue VXM1\n@{cycle} Copy.{type} ALU0 -> -"
    assert refuse(text.format(cycle=2, type="int32")) == (HazardKind.ALU_RESULT, 3, "VXM1")
    accept(text.format(cycle=3, type="int32"))
    assert refuse(text.format(cycle=3, type="fp32")) == (HazardKind.BAD_INSTRUCTION, 4, "VXM1")


def test_two_results_into_one_register_in_one_cycle_are_refused() -> None:
    text = "queue VXM0\n Exp.fp32 #1.0 -> -\n@{cycle} Copy.fp32 #1.0 -> -"
    assert refuse(text.format(cycle=12)) == (HazardKind.ALU_RESULT, 16, "VXM0")
    accept(text.format(cycle=13))


def test_a_queue_holds_so_many_instructions_and_no_more() -> None:
    accept("queue VXM0\n" + "NOP 1\n" * 1_024)
    assert refuse("queue VXM0\n" + "NOP 1\n" * 1_025) == (HazardKind.QUEUE_OVERFLOW, 0, "VXM0")


def test_a_sync_that_nothing_releases_is_refused() -> None:
    assert refuse("queue VXM0\n@3 Sync") == (HazardKind.DEADLOCK, 3, "VXM0")


def test_an_unconnected_link_is_refused() -> None:
    assert refuse("queue C2C0\n@3 Receive E0") == (HazardKind.LINK, 3, "C2C0")


def test_bits_reach_the_output_unchanged_through_every_conversion_of_streams() -> None:
    text = """
    .input a int32[1, 32] MEM_W0..MEM_W3 0x1
    .output b int32[1, 32] MEM_E0..MEM_E3 0x1
    queue MEM_W0
    @3  Read 0x1, E0
    queue MEM_W1
    @2  Read 0x1, E1
    queue MEM_W2
    @1  Read 0x1, E2
    queue MEM_W3
        Read 0x1, E3
    queue VXM0
    @8  Copy.int32 E0 -> E4
    queue MEM_E0
    @13 Write 0x1, E4
    queue MEM_E1
    @14 Write 0x1, E5
    queue MEM_E2
    @15 Write 0x1, E6
    queue MEM_E3
    @16 Write 0x1, E7
    """
    a = np.array([[-(2**31), 2**31 - 1, 0x01020304, *range(LANES - 3)]], np.int32)
    np.testing.assert_array_equal(run_text(text, {"a": a}).outputs["b"], a)
