"""The figures of the chip's specification."""

from dataclasses import fields

from lpu_backend.chip import GROQCHIP1, ChipSpec, plan_floor


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
