"""Two chips: latency, order, deskew and drift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.hazards import HazardError, HazardKind
from lpu_backend.machine.link import Channel
from lpu_backend.machine.vectors import Vector
from tests.lpu_backend.small_chip import SMALL_CHIP, count_lanes, run_text

# MEM_E0 drives at 5; SXM_E, where link 8 sits, is 4 positions east: 9. Send takes at dispatch + 1.
SEND = """
.input x int8[2, 32] MEM_E0 0x0
.chip 1
.output y int8[2, 32] MEM_E1 0x0
.link 0.8 1.9
.chip 0
queue C2C8
    Deskew
    Notify
    Sync
@8  Send E0
    Repeat 1, {interval}
queue MEM_E0
    Sync
    Read 0x0, E0 step 1
    Repeat 1, {interval}
.chip 1
queue C2C9
    Deskew
    Notify
    Sync
@{receive} Receive W0
    Repeat 1, 28
queue MEM_E1
    Sync
@{write} Write 0x0, W0 step 1
    Repeat 1, 28
"""
SURE = 9 + SMALL_CHIP.c2c_max_latency_cycles


def send_text(*, receive: int = SURE, interval: int = 27) -> str:
    # Receive drives at + 2 at SXM_E, position 12; MEM_E1 is at 9.
    return SEND.format(receive=receive, write=receive + 2 + 3, interval=interval)


def send_two(text: str, **keywords: object) -> object:
    x = np.concatenate([count_lanes(), count_lanes() + 1])
    run = run_text(text, {"x": x}, **keywords)
    np.testing.assert_array_equal(run.outputs["y"], x)
    return run.cycles


@settings(max_examples=40, deadline=None)
@given(
    link_seed=st.integers(0, 2**31),
    boot_skew_cycles=st.lists(st.integers(0, 200), min_size=2, max_size=2),
    drift_ppm=st.lists(st.floats(0, 500), min_size=2, max_size=2),
)
def test_jitter_boot_skew_and_drift_change_neither_bits_nor_cycles(
    link_seed: int, boot_skew_cycles: list[int], drift_ppm: list[float]
) -> None:
    # A clock that is up to 500 ppm slow loses less than a cycle here.
    cycles = send_two(send_text(), link_seed=link_seed, boot_skew_cycles=boot_skew_cycles, drift_ppm=drift_ppm)
    assert cycles == send_two(send_text())
    release = SMALL_CHIP.hac_period_cycles + SMALL_CHIP.barrier_cycles
    assert cycles == release + SURE + 2 + 3 + 28 + SMALL_CHIP.tiles


def test_a_vector_that_cannot_have_arrived_is_refused() -> None:
    with pytest.raises(HazardError, match="cycles later") as caught:
        send_two(send_text(receive=9 + SMALL_CHIP.c2c_min_latency_cycles - 1))
    hazard = caught.value.hazard
    assert (hazard.kind, hazard.chip, hazard.queue) == (HazardKind.LINK, 1, "C2C9")


def test_without_deskew_chips_that_start_apart_miss_each_other() -> None:
    text = send_text().replace("    Deskew\n    Notify\n    Sync\n", "").replace("    Sync\n", "")
    send_two(text)
    with pytest.raises(HazardError) as caught:
        send_two(text, boot_skew_cycles=[100, 0])
    assert caught.value.hazard.kind is HazardKind.LINK


def test_a_chip_that_starts_after_the_epoch_is_refused() -> None:
    with pytest.raises(HazardError, match="past the epoch"):
        send_two(send_text(), boot_skew_cycles=[0, SMALL_CHIP.hac_period_cycles])


def test_a_link_takes_a_vector_every_27_cycles() -> None:
    with pytest.raises(HazardError, match="every 27 cycles") as caught:
        send_two(send_text(interval=26))
    assert (caught.value.hazard.kind, caught.value.hazard.queue) == (HazardKind.LINK, "C2C8")


DRIFTING = """
.input x int8[1, 32] MEM_E0 0x0
.chip 1
.output y int8[1, 32] MEM_E1 0x0
.link 0.8 1.9
.chip 0
queue C2C8
    Deskew
    NOP {wait}
    {align0}
    Notify
    Sync
@8  Send E0
queue MEM_E0
    Sync
    Read 0x0, E0
.chip 1
queue C2C9
    Deskew
    NOP {wait}
    {align0}
    Notify
    Sync
@{receive} Receive W0
queue MEM_E1
    Sync
@{write} Write 0x0, W0
"""


def drift_apart(align: str) -> None:
    text = DRIFTING.format(wait=50_000, align0=align, receive=SURE, write=SURE + 5)
    run_text(text, {"x": count_lanes()}, drift_ppm=[1_000, 0])  # chip 0 falls 50 cycles behind


def test_runtime_deskew_takes_the_drift_out() -> None:
    drift_apart("RuntimeDeskew 100")
    with pytest.raises(HazardError) as caught:
        drift_apart("NOP 100")
    assert caught.value.hazard.kind is HazardKind.LINK


def test_runtime_deskew_must_wait_longer_than_the_drift() -> None:
    with pytest.raises(HazardError, match="drifted further"):
        drift_apart("RuntimeDeskew 10")


def test_latencies_follow_the_published_distribution() -> None:
    channel = Channel(SMALL_CHIP, (0, 0, 0))
    latencies = np.array([channel.draw_latency() for _ in range(20_000)])
    assert 216.3 <= latencies.mean() <= 217.4
    assert 2.5 <= latencies.std() <= 3.0
    assert (latencies.min(), latencies.max()) >= (209, 226)
    assert latencies.max() <= 228


def test_no_vector_overtakes_another() -> None:
    channel = Channel(SMALL_CHIP, (1, 2, 3))
    for hac in range(0, 200, 2):
        channel.send(hac, Vector(np.zeros(32, np.uint8)))
    arrivals = [flight.arrival_hac for flight in channel.flights]
    assert arrivals == sorted(arrivals)
