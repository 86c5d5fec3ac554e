"""MXM: weights, activations, products and accumulators. The streams of these programs are empty, which is not asked."""

import pytest

from lpu_backend.checker import list_hazards
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Accumulate, ActivationBuffer, InstallWeights, LoadWeights, Repeat
from lpu_backend.isa.operands import DataType
from tests.lpu_backend.checker_programs import SMALL, Found, Instructions, Queues, at, east, find, program

ROWS = SMALL.lanes
LOAD = LoadWeights(east(0), 0, step=16)
LOADED = at({0: [LOAD, Repeat(1, 1)], 3: InstallWeights(ROWS)})
"""Both loads of 16 rows in cycles 0 and 1, the array new from cycle 4 on."""
INT8 = ActivationBuffer(DataType.INT8, east(0))
FP16 = ActivationBuffer(DataType.FP16, east(0))
NEW, ADD = Accumulate("new", 0, None), Accumulate("add", 0, None)
BOTH = {"MXM_E0_WEIGHTS": LOADED, "MXM_E1_WEIGHTS": LOADED}
WEIGHTS, BUSY = HazardKind.WEIGHTS, HazardKind.ISSUE_INTERVAL
PRODUCT, ACCUMULATOR = HazardKind.PRODUCT, HazardKind.ACCUMULATOR


def check(queues: Queues) -> Found:
    found = find(program(queues))
    return [hazard for hazard in found if hazard[0] is not HazardKind.OPERAND_MISSING]


def test_rows_are_sampled_before_they_are_installed() -> None:
    assert check({"MXM_E0_WEIGHTS": LOADED}) == []
    early = at({0: [LOAD, Repeat(1, 1)], 2: InstallWeights(ROWS)})
    assert check({"MXM_E0_WEIGHTS": early}) == [(WEIGHTS, 2, "MXM_E0_WEIGHTS")]


def test_rows_that_are_not_installed_need_not_be_loaded() -> None:
    one = at({0: LOAD, 3: InstallWeights(16)})
    assert check({"MXM_E0_WEIGHTS": one}) == []
    more = at({0: LOAD, 3: InstallWeights(17)})
    assert check({"MXM_E0_WEIGHTS": more}) == [(WEIGHTS, 3, "MXM_E0_WEIGHTS")]


def test_installing_empties_the_buffer_of_what_was_sampled_before() -> None:
    sampled_in_time = at({0: [LOAD, LOAD, InstallWeights(16), InstallWeights(16)]})
    assert check({"MXM_E0_WEIGHTS": sampled_in_time}) == []  # the second is sampled in the first IW's cycle
    sampled_before = at({0: LOAD, 3: [InstallWeights(16), InstallWeights(16)]})
    assert check({"MXM_E0_WEIGHTS": sampled_before}) == [(WEIGHTS, 4, "MXM_E0_WEIGHTS")]


@pytest.mark.parametrize(("times", "found"), [(1, []), (2, [4]), (3, [4, 6])])
def test_a_load_that_steps_past_the_last_row_is_a_bad_instruction(times: int, found: list[int]) -> None:
    queue: Instructions = [LoadWeights(east(0), 0, step=16), Repeat(times, 2)]
    assert check({"MXM_E0_WEIGHTS": queue}) == [
        (HazardKind.BAD_INSTRUCTION, cycle, "MXM_E0_WEIGHTS") for cycle in found
    ]


def test_rows_past_the_last_are_refused_in_the_first_repetition_too() -> None:
    queue: Instructions = [LoadWeights(east(0), 16, step=16), Repeat(1, 2)]
    assert check({"MXM_E0_WEIGHTS": queue}) == [(HazardKind.BAD_INSTRUCTION, 2, "MXM_E0_WEIGHTS")]


def test_an_activation_samples_when_its_array_is_new_or_later() -> None:
    queues = {"MXM_E0_WEIGHTS": LOADED, "MXM_E0_ABC": at({3: INT8}), "MXM_E0_ACC": at({35: NEW})}
    assert check(queues) == []
    queues |= {"MXM_E0_ABC": at({2: INT8}), "MXM_E0_ACC": at({34: NEW})}
    assert check(queues) == [(WEIGHTS, 3, "MXM_E0_ABC")]


def test_each_plane_has_its_own_weights() -> None:
    queues = {"MXM_E0_WEIGHTS": LOADED, "MXM_E1_ABC": at({9: INT8}), "MXM_E1_ACC": at({41: NEW})}
    assert check(queues) == [(WEIGHTS, 10, "MXM_E1_ABC")]


def test_fp16_needs_the_weights_of_both_planes_of_its_side() -> None:
    queues = {"MXM_E0_ABC": at({9: FP16}), "MXM_E0_ACC": at({43: NEW})}
    assert check(queues | BOTH) == []
    assert check(queues | {"MXM_E0_WEIGHTS": LOADED}) == [(WEIGHTS, 10, "MXM_E0_ABC")]
    other_side = {"MXM_E0_WEIGHTS": LOADED, "MXM_W1_WEIGHTS": LOADED}
    assert check(queues | other_side) == [(WEIGHTS, 10, "MXM_E0_ABC")]


def test_fp16_is_for_the_inner_plane() -> None:
    queues = {"MXM_E1_ABC": at({9: FP16}), **BOTH}
    assert check(queues) == [(HazardKind.BAD_INSTRUCTION, 9, "MXM_E1_ABC")]


def test_int8_activations_go_every_cycle() -> None:
    queues = {"MXM_E0_ABC": at({9: [INT8, Repeat(9, 1)]}), "MXM_E0_ACC": at({41: [NEW, Repeat(9, 1)]})}
    assert check(queues | BOTH) == []


def test_fp16_activations_go_every_other_cycle() -> None:
    accumulations = {"MXM_E0_ACC": at({43: [NEW, Repeat(2, 2)]})}
    assert check({"MXM_E0_ABC": at({9: [FP16, Repeat(2, 2)]})} | accumulations | BOTH) == []
    accumulations = {"MXM_E0_ACC": at({43: [NEW, NEW]})}
    assert check({"MXM_E0_ABC": at({9: [FP16, FP16]})} | accumulations | BOTH) == [(BUSY, 10, "MXM_E0_ABC")]


@pytest.mark.parametrize(("cycle", "found"), [(8, []), (9, [9]), (10, [10]), (11, [])])
def test_fp16_takes_the_outer_plane_in_its_cycle_and_the_next(cycle: int, found: list[int]) -> None:
    queues = {"MXM_E0_ABC": at({9: FP16}), "MXM_E0_ACC": at({43: NEW})}
    queues |= {"MXM_E1_ABC": at({cycle: INT8}), "MXM_E1_ACC": at({cycle + 32: NEW})}
    assert check(queues | BOTH) == [(BUSY, cycle, "MXM_E1_ABC") for cycle in found]


def test_an_int8_activation_right_after_fp16_is_too_soon() -> None:
    queues = {"MXM_E0_ABC": at({9: [FP16, INT8]}), "MXM_E0_ACC": at({42: [NEW, NEW]})}
    assert check(queues | BOTH) == [(BUSY, 10, "MXM_E0_ABC")]


def test_the_sides_of_the_chip_do_not_wait_for_each_other() -> None:
    queues = {"MXM_E0_ABC": at({9: FP16}), "MXM_E0_ACC": at({43: NEW}), "MXM_W1_WEIGHTS": LOADED}
    queues |= {"MXM_W1_ABC": at({9: INT8}), "MXM_W1_ACC": at({41: NEW})}
    assert check(queues | BOTH) == []


def test_a_product_is_taken_in_its_cycle() -> None:
    queues = {"MXM_E0_ABC": at({9: INT8}), **BOTH}
    assert check(queues | {"MXM_E0_ACC": at({41: NEW})}) == []
    late = check(queues | {"MXM_E0_ACC": at({42: NEW})})
    assert late == [(PRODUCT, 41, "MXM_E0_ABC"), (PRODUCT, 42, "MXM_E0_ACC")]
    assert check(queues | {"MXM_E0_ACC": at({40: NEW})})[0] == (PRODUCT, 40, "MXM_E0_ACC")
    assert check(queues) == [(PRODUCT, 41, "MXM_E0_ABC")]


@pytest.mark.parametrize(("cycle", "nearest"), [(20, 41), (43, 41), (47, 50), (60, 50)])
def test_the_detail_says_when_the_nearest_product_is_due(cycle: int, nearest: int) -> None:
    queues = {"MXM_E0_ABC": at({9: INT8, 18: INT8}), "MXM_E0_ACC": at({cycle: NEW}), **BOTH}
    details = [hazard.detail for hazard in list_hazards(program(queues), SMALL) if hazard.queue == "MXM_E0_ACC"]
    assert details == [f"no product is due, the nearest in cycle {nearest}"]


def test_the_product_of_a_pair_comes_to_the_inner_plane() -> None:
    queues = {"MXM_E0_ABC": at({9: FP16}), "MXM_E1_ACC": at({43: NEW}), **BOTH}
    assert check(queues) == [(PRODUCT, 43, "MXM_E0_ABC"), (PRODUCT, 43, "MXM_E1_ACC")]


def test_two_products_of_one_plane_are_not_due_in_one_cycle() -> None:
    queues = {"MXM_E0_ABC": at({9: FP16, 11: INT8}), "MXM_E0_ACC": at({43: NEW}), **BOTH}
    assert check(queues) == [(PRODUCT, 43, "MXM_E0_ABC")]


def test_an_accumulator_is_set_before_it_is_added_to() -> None:
    queues = {"MXM_E0_ABC": at({9: [INT8, INT8]}), **BOTH}
    assert check(queues | {"MXM_E0_ACC": at({41: [NEW, ADD]})}) == []
    assert check(queues | {"MXM_E0_ACC": at({41: [ADD, ADD]})}) == [(ACCUMULATOR, 41, "MXM_E0_ACC")]
    other = Accumulate("add", 1, None)
    assert check(queues | {"MXM_E0_ACC": at({41: [NEW, other]})}) == [(ACCUMULATOR, 42, "MXM_E0_ACC")]


def test_an_accumulator_is_added_to_in_its_own_type() -> None:
    def found(*accumulations: Accumulate) -> Found:
        activations = at({9: FP16, 20: INT8})
        results = at(dict(zip((43, 52), accumulations, strict=True)))
        return check({"MXM_E0_ABC": activations, "MXM_E0_ACC": results, **BOTH})

    assert found(NEW, NEW) == []
    assert found(NEW, ADD) == [(ACCUMULATOR, 52, "MXM_E0_ACC")]


def test_a_repeated_accumulation_steps_through_the_slots() -> None:
    step = Accumulate("new", SMALL.mxm_accumulators - 2, None, step=1)
    activations = {"MXM_E0_ABC": at({9: [INT8, Repeat(2, 1)]})}
    results = {"MXM_E0_ACC": at({41: [step, Repeat(1, 1)]})}
    last = check({"MXM_E0_ABC": at({9: [INT8, INT8]})} | results | BOTH)
    assert last == []
    past = check(activations | {"MXM_E0_ACC": at({41: [step, Repeat(2, 1)]})} | BOTH)
    assert (HazardKind.BAD_INSTRUCTION, 43, "MXM_E0_ACC") in past
