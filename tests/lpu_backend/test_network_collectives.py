"""Collectives: real numbers through their schedules, and the bandwidth that they reach."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lpu_backend.network.bandwidth import SHIP_SHARES, calibrate_reduction, list_latency_models, measure_curve
from lpu_backend.network.carry import add_in_pairs, carry
from lpu_backend.network.collectives import Algorithm, all_gather, all_reduce, broadcast, reduce_scatter
from lpu_backend.network.plan import Collective
from lpu_backend.network.replay import ReplayError, replay
from lpu_backend.network.timing import HopMode, time_chip, time_hops
from lpu_backend.network.topology import TopologyError, build_topology

TIMING = time_chip()
PUBLISHED = time_hops(HopMode.LINK)


def draw(collective: Collective, dtype: str = "<f4") -> NDArray[Any]:
    """Of very different sizes, so that another order of addition gives other bits."""
    shape = (collective.topology.chips, collective.rows, 320)
    generator = np.random.Generator(np.random.Philox(5))
    if dtype == "<f4":
        return (generator.standard_normal(shape) * 10.0 ** generator.integers(-4, 5, shape)).astype(dtype)
    return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype)


def run(collective: Collective, tensors: NDArray[Any]) -> list[NDArray[Any]]:
    """Each chip's results as bytes, [results, ...], after the replay."""
    replay(collective.topology, collective.schedule, collective.timing)
    return [np.stack(list(held.values())).view("u1") for held in carry(collective, tensors)]


@pytest.mark.parametrize("chips", [2, 3, 7, 8])
@pytest.mark.parametrize("algorithm", Algorithm)
def test_an_all_reduce_gives_all_chips_the_bits_of_the_sum_in_pairs(chips: int, algorithm: Algorithm) -> None:
    collective = all_reduce(build_topology(chips), 9, TIMING, 4, algorithm)
    tensors = draw(collective)
    expected = add_in_pairs(list(tensors)).view("u1")
    for found in run(collective, tensors):
        np.testing.assert_array_equal(found, expected)


def test_the_order_of_the_sum_matters_to_these_numbers() -> None:
    tensors = draw(all_reduce(build_topology(8), 9, TIMING, 4))
    assert (add_in_pairs(list(tensors)) != add_in_pairs([*tensors[1:], tensors[0]])).any()


@pytest.mark.parametrize(("dtype", "width"), [("<i1", 1), ("<i2", 2), ("<i4", 4)])
def test_integers_wrap(dtype: str, width: int) -> None:
    collective = all_reduce(build_topology(4), 5, TIMING, width)
    tensors = draw(collective, dtype)
    for found in run(collective, tensors):
        np.testing.assert_array_equal(found.view(dtype), tensors.sum(axis=0, dtype=dtype))


@pytest.mark.parametrize("chips", [16, 24, 72])
def test_an_all_reduce_over_nodes_adds_chips_then_nodes(chips: int) -> None:
    collective = all_reduce(build_topology(chips), 10, PUBLISHED, 4)
    tensors = draw(collective)
    nodes = [add_in_pairs(list(node)) for node in np.split(tensors, chips // 8)]
    expected = add_in_pairs(nodes).view("u1")
    for found in run(collective, tensors):
        np.testing.assert_array_equal(found, expected)


def test_an_all_gather_a_reduce_scatter_and_a_broadcast() -> None:
    topology = build_topology(5)
    gather, scatter = all_gather(topology, 3, TIMING, 4), reduce_scatter(topology, 7, TIMING, 4)
    tensors = draw(gather)
    for found in run(gather, tensors):
        np.testing.assert_array_equal(found.view("<f4").reshape(5, 3, 320), tensors)
    tensors = draw(scatter)
    expected = add_in_pairs(list(tensors))
    for chip, found in enumerate(run(scatter, tensors)):
        np.testing.assert_array_equal(found.view("<f4"), expected[chip::5])
    for algorithm in Algorithm:
        spread = broadcast(topology, 3, 7, TIMING, 4, algorithm)
        for found in run(spread, tensors):
            np.testing.assert_array_equal(found.view("<f4"), tensors[3])


def test_the_faster_way_is_taken() -> None:
    topology = build_topology(8)
    assert all_reduce(topology, 1, TIMING).name == "all-reduce, direct"
    assert all_reduce(topology, 100, TIMING).name == "all-reduce, staged"
    assert broadcast(topology, 0, 2, TIMING).name == "broadcast, direct"
    assert broadcast(topology, 0, 100, TIMING).name == "broadcast, staged"
    # Seven links instead of one: at most a seventh of the time, and a hop.
    slow, fast = (broadcast(topology, 0, 700, TIMING, algorithm=way).finish_cycle for way in Algorithm)
    assert fast - 2 * TIMING.hop_cycles < slow / 6.5


def test_a_chip_alone_and_more_than_a_node_are_refused() -> None:
    for chips in (1, 16):
        with pytest.raises(TopologyError, match="2 to 8"):
            all_gather(build_topology(chips), 1, TIMING)
    with pytest.raises(TopologyError, match="2 to 8"):
        all_reduce(build_topology(1), 1, TIMING)


def test_what_is_used_before_it_is_there_is_refused() -> None:
    collective = all_reduce(build_topology(4), 4, TIMING, 4, Algorithm.STAGED)
    tensors = draw(collective)
    schedule, sums = collective.schedule, collective.reductions
    hasty = tuple(departure._replace(cycle=departure.cycle - 1) for departure in schedule.departures)
    for broken in (
        replace(collective, schedule=replace(schedule, departures=hasty)),
        replace(collective, schedule=replace(schedule, departures=schedule.departures[:-1])),
        replace(collective, reductions=tuple(each._replace(ready_cycle=each.ready_cycle - 1) for each in sums)),
        replace(collective, reductions=tuple(each._replace(start_cycle=each.start_cycle - 1) for each in sums)),
        replace(collective, finish_cycle=collective.finish_cycle - 1),
    ):
        with pytest.raises(ReplayError):
            carry(broken, tensors)


def test_a_type_that_does_not_fit_is_refused() -> None:
    collective = all_reduce(build_topology(2), 1, TIMING, 4)
    with pytest.raises(ValueError, match="4 bytes"):
        carry(collective, draw(collective, "<i2"))


def test_the_published_latencies_alone_come_near_the_published_shares() -> None:
    near, far = measure_curve(PUBLISHED, list(SHIP_SHARES))
    # 13 vectors a link: the first sum is back after 722 ns, each further one 27 cycles later, and one hop more.
    assert near.cycles == 650 + 12 * 27 + 217
    # 32 vectors a link: the links are busy throughout, and then one hop.
    assert far.cycles == (2 * 32 - 1) * 27 + 217
    assert near.share == pytest.approx(0.580, abs=1e-3)
    assert far.share == pytest.approx(0.901, abs=1e-3)


def test_the_calibrated_model_meets_the_point_it_is_fitted_to_and_nearly_the_other() -> None:
    calibrated = calibrate_reduction(PUBLISHED)
    near, far = measure_curve(calibrated, list(SHIP_SHARES))
    assert near.share <= 0.5 < measure_curve(
        replace(calibrated, reduction_cycles=calibrated.reduction_cycles - 1), [32 << 10]
    )[0].share  # fmt: skip
    assert far.share == pytest.approx(0.9, abs=0.01)


def test_shares_grow_with_the_size_and_stay_below_the_bound() -> None:
    for timing in list_latency_models().values():
        shares = [point.share for point in measure_curve(timing, [320, 4_096, 32 << 10, 80 << 10, 128 << 10])]
        assert shares == sorted(shares)
        assert shares[-1] < 1
