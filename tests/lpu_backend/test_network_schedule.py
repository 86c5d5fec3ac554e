"""Schedules without contention, and the replay that would find any."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.network.replay import ReplayError, replay
from lpu_backend.network.routes import Router
from lpu_backend.network.schedule import DemandError, LinkCalendar, Scheduler, schedule_demands
from lpu_backend.network.timing import HopMode, NetworkTiming, time_chip, time_hops
from lpu_backend.network.topology import Topology, build_topology
from lpu_backend.network.transfers import Demand, Schedule, Transfer

TIMINGS = [time_chip(), time_hops(HopMode.LINK)]


def finish(topology: Topology, schedule: Schedule, timing: NetworkTiming) -> int:
    return max(max(cycles.values()) for cycles in replay(topology, schedule, timing))


@st.composite
def draw_demands(draw: st.DrawFn, chips: int) -> Demand:
    source = draw(st.integers(0, chips - 1))
    others = st.integers(0, chips - 1).filter(lambda chip: chip != source)
    destinations = draw(st.lists(others, min_size=1, max_size=4, unique=True))
    return Demand(source, tuple(destinations), draw(st.integers(0, 12)), draw(st.integers(0, 300)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_asked_for_arrives_without_contention(data: st.DataObject) -> None:
    topology = build_topology(data.draw(st.sampled_from([2, 3, 8, 16, 40, 288])))
    demands = data.draw(st.lists(draw_demands(topology.chips), max_size=6))
    timing, spread = data.draw(st.sampled_from(TIMINGS)), data.draw(st.booleans())
    schedule = schedule_demands(topology, demands, timing, spread=spread)
    assert schedule == schedule_demands(topology, demands, timing, spread=spread)
    assert len(schedule.transfers) == sum(demand.vectors for demand in demands)
    router = Router(topology)
    for transfer, arrivals in zip(schedule.transfers, replay(topology, schedule, timing), strict=True):
        for chip in transfer.destinations:
            hops = int(router.distances(chip)[transfer.source])
            assert arrivals[chip] >= transfer.earliest_cycle + hops * timing.hop_cycles


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 120), max_size=25), st.integers(1, 9))
def test_a_calendar_offers_the_first_cycle_far_enough_from_all_taken(wishes: list[int], interval_cycles: int) -> None:
    calendar, taken = LinkCalendar(interval_cycles), []
    for wish in wishes:
        cycle = calendar.next_free(wish)
        assert cycle == next(
            free for free in range(wish, 9_999) if all(abs(free - other) >= interval_cycles for other in taken)
        )
        calendar.take(cycle)
        taken.append(cycle)


def test_a_large_message_takes_all_seven_links_and_a_small_one_the_direct_one() -> None:
    topology, timing = build_topology(8), TIMINGS[0]
    small = schedule_demands(topology, [Demand(0, (5,), 4)], timing)
    assert len(small.departures) == 4
    assert finish(topology, small, timing) == 3 * 27 + timing.hop_cycles
    large = schedule_demands(topology, [Demand(0, (5,), 1_000)], timing)
    assert {departure.link for departure in large.departures if departure.chip == 0} == set(range(7))
    # No less than a seventh of the time on seven links, and hardly more than that and the second hop.
    assert 27 * 1_000 // 7 < finish(topology, large, timing) < 27 * 1_000 // 7 + 2 * timing.hop_cycles


def test_where_every_link_is_wanted_nobody_takes_a_detour() -> None:
    topology, timing = build_topology(8), TIMINGS[0]
    demands = [Demand(chip, (other,), 50) for chip in range(8) for other in range(8) if chip != other]
    schedule = schedule_demands(topology, demands, timing)
    assert len(schedule.departures) == len(schedule.transfers)
    assert finish(topology, schedule, timing) == 49 * 27 + timing.hop_cycles


def test_a_vector_crosses_the_chip_only_where_its_links_are_at_different_sides() -> None:
    topology, timing = build_topology(16), TIMINGS[0]
    # Link 7, at SXM_W like the local links, leads to the other node's chip of the same place; 8 to 10 are at SXM_E.
    schedule = schedule_demands(topology, [Demand(0, (9,), 1)], timing)
    first, second = schedule.departures
    sides = {first.link < 8, second.link < 8}
    assert second.cycle - first.cycle == timing.hop_cycles + (len(sides) - 1) * 90


def test_replay_refuses_two_vectors_too_close_on_a_link() -> None:
    topology, timing = build_topology(2), TIMINGS[0]
    schedule = schedule_demands(topology, [Demand(0, (1,), 2)], timing)
    first, second = schedule.departures
    with pytest.raises(ReplayError, match="contention"):
        replay(topology, replace(schedule, departures=(first, second._replace(cycle=26))), timing)


def test_replay_refuses_a_vector_that_is_not_there_yet() -> None:
    topology, timing = build_topology(16), TIMINGS[0]
    schedule = schedule_demands(topology, [Demand(0, (9,), 1, earliest_cycle=50)], timing)
    first, second = schedule.departures
    with pytest.raises(ReplayError, match="is there from cycle 50 on"):
        replay(topology, replace(schedule, departures=(first._replace(cycle=49), second)), timing)
    with pytest.raises(ReplayError, match=f"is there from cycle {second.cycle} on"):
        replay(topology, replace(schedule, departures=(first, second._replace(cycle=second.cycle - 1))), timing)
    with pytest.raises(ReplayError, match="has not been at chip"):
        replay(topology, replace(schedule, departures=(second,)), timing)


def test_replay_refuses_a_missing_vector_a_missing_link_and_a_second_copy() -> None:
    topology, timing = build_topology(3), TIMINGS[0]
    schedule = schedule_demands(topology, [Demand(0, (1, 2), 1)], timing)
    first, second = schedule.departures
    with pytest.raises(ReplayError, match="never comes to chip 2"):
        replay(topology, replace(schedule, departures=(first,)), timing)
    with pytest.raises(ReplayError, match="leads nowhere"):
        replay(topology, replace(schedule, departures=(first._replace(link=5), second)), timing)
    with pytest.raises(ReplayError, match="leads nowhere"):
        replay(topology, replace(schedule, departures=(first._replace(link=11), second)), timing)
    with pytest.raises(ReplayError, match="has the vector already"):
        replay(topology, replace(schedule, departures=(first, second, first._replace(cycle=27))), timing)
    with pytest.raises(ReplayError, match="transfer that there is not"):
        replay(topology, replace(schedule, departures=(first, second._replace(transfer=1))), timing)


@pytest.mark.parametrize(
    "demand", [Demand(0, (), 1), Demand(1, (0, 1), 1), Demand(0, (8,), 1), Demand(0, (1,), -1), Demand(0, (1,), 1, -1)]
)
def test_a_demand_that_cannot_be_is_refused(demand: Demand) -> None:
    with pytest.raises(DemandError):
        schedule_demands(build_topology(8), [demand], TIMINGS[0])


def test_a_way_that_comes_back_to_its_source_is_refused() -> None:
    scheduler = Scheduler(build_topology(264), TIMINGS[0])
    # Chip 1's way to the node behind chip 0's global link leads by chip 0.
    far = scheduler.router.topology.far_end(0, 7).chip
    with pytest.raises(DemandError, match="come back to chip 0"):
        scheduler.move(Transfer(0, (far,)), via=1)
