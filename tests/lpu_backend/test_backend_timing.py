"""The first estimate of the hardware's time, and the figures it stands on."""

from dataclasses import fields

import pytest

from lpu_backend import GROQCHIP1
from lpu_backend.checkpoint_model import CheckpointModel
from lpu_backend.chip import ChipSpec, plan_floor
from lpu_backend.timing import ModelShape, estimate_time, shape_of

# Two layers of 2,048,000 weights: 100 cycles of streaming each; a head of 1,024,000: 50 cycles.
SMALL = ModelShape(
    layers=2, layer_weights=2_048_000, head_weights=1_024_000, embedding_weights=0, kv_bytes_per_token=2_048
)
LLAMA_2_70B = ModelShape(
    layers=80,
    layer_weights=855_638_016,
    head_weights=262_144_000,
    embedding_weights=262_144_000,
    kv_bytes_per_token=2 * 80 * 8 * 128 * 2,
)


def cycles_of(shape: ModelShape, prompt_tokens: int, completion_tokens: int) -> int:
    return estimate_time(shape, GROQCHIP1, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens).cycles


def test_one_token_streams_every_weight_once() -> None:
    assert cycles_of(SMALL, 1, 1) == 2 * (100 + 9_750) + 50


def test_further_tokens_add_a_pass_each_and_the_keys_and_values_they_read() -> None:
    # 3 passes over 10, 11 and 12 tokens of 2,048 bytes: 33 x 2,048 / 20,480 = 3.3 cycles, rounded up.
    assert cycles_of(SMALL, 10, 4) == 4 * (2 * (100 + 9_750) + 50) + 4


def test_a_long_prompt_is_bound_by_multiplications() -> None:
    # 1,000 tokens x 2,048,000 MACs / 409,600 a cycle = 5,000 cycles a layer, above the 100 of streaming.
    assert cycles_of(SMALL, 1_000, 1) == 2 * (5_000 + 9_750) + 50


def test_a_model_that_fits_takes_one_chip_and_one_that_does_not_whole_nodes() -> None:
    assert estimate_time(SMALL, GROQCHIP1, prompt_tokens=1, completion_tokens=1).chips == 1
    assert estimate_time(LLAMA_2_70B, GROQCHIP1, prompt_tokens=1, completion_tokens=1).chips == 576


def test_the_estimate_is_within_a_fifth_of_the_published_speed_of_llama_2_70b() -> None:
    decode_cycles = cycles_of(LLAMA_2_70B, 100, 101) - cycles_of(LLAMA_2_70B, 100, 1)
    assert 100 / (decode_cycles / GROQCHIP1.clock_hz) == pytest.approx(267, rel=0.2)


def test_an_answer_carries_its_time_and_says_that_it_is_an_estimate(model: CheckpointModel) -> None:
    emulated = model.emulate(prompt_tokens=17, completion_tokens=64)
    assert emulated == model.emulate(prompt_tokens=17, completion_tokens=64)
    expected = estimate_time(shape_of(model.runtime.graph), GROQCHIP1, prompt_tokens=17, completion_tokens=64)
    assert (emulated.chips, emulated.cycles, emulated.mode) == (1, expected.cycles, "estimate")
    assert emulated.seconds == expected.cycles / 900_000_000
    assert emulated.tokens_per_second == pytest.approx(64 / emulated.seconds)
    assert emulated.program_hash == model.program_hash


def test_an_answer_of_no_tokens_has_a_time_and_no_speed(model: CheckpointModel) -> None:
    emulated = model.emulate(prompt_tokens=17, completion_tokens=0)
    assert emulated.cycles == model.emulate(prompt_tokens=17, completion_tokens=1).cycles
    assert emulated.tokens_per_second == 0.0


def test_weights_are_counted_as_the_checkpoint_stores_them(model: CheckpointModel) -> None:
    shape = shape_of(model.runtime.graph)
    assert shape.layer_weights == 64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 160
    assert (shape.head_weights, shape.embedding_weights) == (512 * 64, 0)
    assert shape.kv_bytes_per_token == 3 * 2 * 2 * 16 * 2


def test_every_figure_of_the_chip_has_a_source_and_a_standing() -> None:
    figures = [field for field in fields(ChipSpec) if field.name != "name"]
    assert all(field.metadata["source"] for field in figures)
    assert {field.metadata["standing"] for field in figures} <= {"published", "derived", "assumed"}


def test_derived_figures_are_the_published_ones() -> None:
    chip = GROQCHIP1
    assert chip.lanes == 320
    assert chip.mem_slice_bytes == 2.5 * 2**20
    assert chip.sram_bytes == 220 * 2**20
    assert chip.stream_bytes_per_cycle == 20_480
    assert chip.sram_bytes_per_cycle == 56_320
    assert chip.mxm_int8_macs_per_cycle == 409_600
    assert chip.vxm_alus == 5_120
    assert chip.link_alone_ns == 241
    assert round(chip.lanes / chip.c2c_vector_interval_cycles * chip.clock_hz / 1e9, 2) == 10.67


def test_the_floorplan_has_144_queues_from_the_west_edge_to_the_east() -> None:
    plan = plan_floor(GROQCHIP1)
    assert len(plan.queues) == 144
    assert [*plan.positions][:4] == ["MXM_W1", "MXM_W0", "SXM_W", "MEM_W43"]
    assert (plan.positions["MEM_W0"], plan.positions["VXM"], plan.positions["MEM_E0"]) == (46, 47, 48)
    assert plan.width == 95
