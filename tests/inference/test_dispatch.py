"""Which waiting job is next, how many of one deployment are computed at once over all workers, and who is called."""

from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from inference import dispatch
from inference.dispatch import (
    bell_key,
    claim_jobs,
    count_waiting,
    enqueue_job,
    get_queue_standing,
    lease_key,
    list_depths,
    put_back,
    release_jobs,
    renew_leases,
    slots_key,
    stop_listening,
    tell_alive,
)
from inference.exceptions import ApiError
from inference.models import Job
from inference.redis_clients import get_redis
from inference.types import Held, Ticket
from tests.billing.concurrency import run_at_once

MODEL = "second"
DEPLOYMENT = 7


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models whose workers were sent a wake-up through Celery."""
    get_redis().flushdb()
    sent: list[str] = []
    monkeypatch.setattr(dispatch, "wake_workers", sent.append)
    return sent


def ticket(request_id: str, organization: str = "org_a", tier: str = "on_demand", **fields: Any) -> Ticket:
    fields = {"deployment_id": DEPLOYMENT, "max_batch": 1000, **fields}
    return Ticket(request_id, MODEL, organization, tier, **fields)


def wait(*request_ids: str, **fields: Any) -> None:
    for request_id in request_ids:
        enqueue_job(ticket(request_id, **fields))


def claim(most: int = 64) -> list[str]:
    return [each.held.request_id for each in claim_jobs(MODEL, most)]


def give_back(*request_ids: str) -> None:
    release_jobs(MODEL, [Held(request_id, DEPLOYMENT) for request_id in request_ids])


@pytest.fixture
def as_another_worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def change() -> None:
        monkeypatch.setattr(dispatch, "_token", "another")

    return change


def test_jobs_of_one_organization_are_claimed_in_the_order_in_which_they_came() -> None:
    wait("a", "b", "c")
    assert claim(2) == ["a", "b"]
    assert claim() == ["c"]
    assert claim() == []


def test_an_organization_with_many_jobs_does_not_starve_one_with_two() -> None:
    wait(*(f"many{number}" for number in range(500)), organization="org_many")
    wait("few0", "few1", organization="org_few")
    assert claim(4) == ["many0", "few0", "many1", "few1"]


def test_tiers_take_turns_by_their_weights_and_none_starves() -> None:
    for tier in Job.ServiceTier.values:
        wait(*(f"{tier}{number}" for number in range(60)), tier=tier)
    counts = Counter(name.rstrip("0123456789") for name in claim(42))
    assert counts == {"on_demand": 32, "flex": 8, "batch": 2}


def test_a_tier_that_waits_alone_gets_everything() -> None:
    wait("a", "b", tier="batch")
    assert claim() == ["a", "b"]


def test_a_job_that_is_put_back_is_next() -> None:
    wait("a", "b")
    wait("c", organization="org_b")
    put_back(ticket("first"))
    assert claim(1) == ["first"]


def test_a_job_waits_once() -> None:
    wait("a")
    assert not put_back(ticket("a"))
    assert claim() == ["a"]
    assert not put_back(ticket("a"))
    assert claim() == []


def test_no_more_jobs_run_than_the_placement_computes_at_once() -> None:
    wait("a", "b", "c", max_batch=2)
    assert claim() == ["a", "b"]
    assert claim() == []
    give_back("a")
    assert claim() == ["c"]


def test_a_deployment_whose_slots_are_taken_does_not_hold_up_another_of_the_model() -> None:
    wait("old0", "old1", max_batch=1)
    wait("new", deployment_id=8)
    assert sorted(claim()) == ["new", "old0"]


def test_a_slot_of_a_dead_worker_is_free_when_its_lease_has_lapsed() -> None:
    get_redis().zadd(slots_key(DEPLOYMENT), {"dead": 1.0})
    wait("a", max_batch=1)
    assert claim() == ["a"]


def test_a_renewed_job_keeps_its_slot() -> None:
    wait("a", "b", max_batch=1)
    assert claim() == ["a"]
    get_redis().zadd(slots_key(DEPLOYMENT), {"a": 1.0})
    assert renew_leases([Held("a", DEPLOYMENT)]) == set()
    assert claim() == []


def test_a_worker_learns_that_its_job_was_taken_by_another(as_another_worker: Callable[[], None]) -> None:
    wait("a")
    claim()
    get_redis().delete(lease_key("a"))
    as_another_worker()
    put_back(ticket("a"))
    assert claim() == ["a"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "_token", "the first")
        assert renew_leases([Held("a", DEPLOYMENT)]) == {"a"}
        give_back("a")
    assert get_redis().exists(lease_key("a"))


def test_a_model_without_a_deployment_has_no_bound() -> None:
    wait(*map(str, range(20)), deployment_id=0, max_batch=0)
    assert len(claim()) == 20
    assert get_redis().keys("lpu:deployment:*") == []


def test_a_full_queue_refuses_with_503_and_says_when_to_come_back(settings: Any) -> None:
    settings.QUEUE_LIMIT = 2
    wait("a", "b")
    with pytest.raises(ApiError) as refusal:
        wait("c")
    assert (refusal.value.status, refusal.value.code) == (503, "queue_full")
    assert int(refusal.value.headers["retry-after"]) >= 1
    assert put_back(ticket("begun before"))


def test_many_that_come_at_once_never_overrun_the_queue(settings: Any) -> None:
    settings.QUEUE_LIMIT = 5
    outcomes = run_at_once(*(lambda name=str(number): wait(name) for number in range(12)))
    assert sum(isinstance(outcome, ApiError) for outcome in outcomes) == 7
    assert count_waiting(MODEL) == 5


def test_flex_is_refused_with_498_while_every_slot_is_taken_and_admitted_when_one_is_free() -> None:
    wait("a", max_batch=1)
    with pytest.raises(ApiError) as refusal:
        wait("b", tier="flex", max_batch=1)
    assert (refusal.value.status, refusal.value.code) == (498, "capacity_exceeded")
    claim()
    with pytest.raises(ApiError):
        wait("b", tier="flex", max_batch=1)
    give_back("a")
    wait("b", tier="flex", max_batch=1)
    assert claim() == ["b"]


def test_many_claims_at_once_give_every_job_to_one_worker_and_overrun_no_bound() -> None:
    wait(*map(str, range(30)), max_batch=20)
    claimed = run_at_once(*[lambda: claim(4)] * 12)
    names = [name for names in claimed for name in names]
    assert len(names) == len(set(names)) == 20


def test_a_job_past_its_deadline_and_one_whose_client_left_are_told_apart() -> None:
    get_redis().set("lpu:job:gone:cancel", b"1")
    wait("late", deadline_at_ms=1)
    wait("gone", "well")
    states = [(each.held.request_id, each.is_late, each.is_cancelled) for each in claim_jobs(MODEL)]
    assert states == [("late", True, False), ("gone", False, True), ("well", False, False)]


def test_workers_share_what_waits() -> None:
    wait(*map(str, range(9)))
    for worker in ("one", "two", "three"):
        tell_alive(worker, MODEL)
    assert len(claim()) == 3


def test_one_wake_up_at_most_is_under_way(woken: list[str]) -> None:
    wait("a", "b", "c")
    assert woken == [MODEL]
    claim(1)
    assert woken == [MODEL]
    assert get_redis().llen(bell_key(MODEL)) == 1


def test_a_worker_that_listens_needs_no_wake_up(woken: list[str]) -> None:
    claim()
    wait("a")
    assert (woken, get_redis().llen(bell_key(MODEL))) == ([], 1)


def test_idle_workers_are_woken_beside_one_that_is_busy(woken: list[str]) -> None:
    tell_alive("one", MODEL)
    tell_alive("two", MODEL)
    wait("a")
    claim()
    wait("b")
    assert woken == [MODEL, MODEL]


def test_who_stops_listening_leaves_no_job_unheard(woken: list[str]) -> None:
    claim()
    wait("a")
    stop_listening(MODEL)
    assert woken == [MODEL]


def test_a_lost_wake_up_is_sent_again_by_the_pulse(woken: list[str]) -> None:
    wait("a")
    get_redis().delete("lpu:dispatch:second:wake")
    tell_alive("one", MODEL)
    assert woken == [MODEL, MODEL]


def test_nobody_is_called_while_every_slot_is_taken(woken: list[str]) -> None:
    wait("a", "b", max_batch=1)
    claim()
    stop_listening(MODEL)
    woken.clear()
    tell_alive("one", MODEL)
    assert woken == []


@pytest.fixture
def standing() -> Callable[[str], int | None]:
    def ask(request_id: str) -> int | None:
        found = get_queue_standing(Job(pk=request_id, model_id=MODEL))
        return None if found is None else found.jobs_ahead

    return ask


def test_the_position_counts_the_turns_of_others(standing: Callable[[str], int | None]) -> None:
    wait(*(f"many{number}" for number in range(50)), organization="org_many")
    wait("few0", "few1", organization="org_few")
    names = ["many0", "few0", "many1", "few1", "many2", "many49"]
    assert [standing(name) for name in names] == [0, 1, 2, 3, 4, 51]
    assert standing("unknown") is None


def test_the_position_is_the_one_at_which_a_job_is_claimed(standing: Callable[[str], int | None]) -> None:
    names = {"a": ["a0", "a1", "a2"], "b": ["b0"], "c": ["c0", "c1", "c2", "c3", "c4"]}
    for organization, own in names.items():
        wait(*own, organization=organization)
    expected = sorted(chain(*names.values()), key=lambda name: standing(name) or 0)
    assert claim() == expected


def test_a_batch_job_waits_for_the_share_of_the_other_tiers(standing: Callable[[str], int | None]) -> None:
    wait(*map(str, range(40)))
    wait("patient", tier="batch")
    assert standing("patient") == 16


def test_what_waits_is_counted_by_model_and_tier() -> None:
    wait("a", "b")
    wait("c", tier="batch")
    claim(1)
    assert list_depths([MODEL, "unknown"]) == {
        MODEL: {"on_demand": 1, "flex": 0, "batch": 1},
        "unknown": {"on_demand": 0, "flex": 0, "batch": 0},
    }


def test_a_wait_is_expected_as_soon_as_jobs_were_claimed_while_others_waited() -> None:
    wait(*map(str, range(10)))
    job = Job(pk="9", model_id=MODEL)
    assert get_queue_standing(job).expected_wait_ms is None
    claim(2)
    claim(2)
    standing = get_queue_standing(job)
    assert standing.jobs_ahead == 5
    assert standing.expected_wait_ms >= 0
