"""How many jobs of one deployment are computed at once, over all workers together."""

from contextlib import ExitStack
from typing import Any

import pytest

from inference import leases
from inference.leases import list_waiting, slots_key, take_lease, wake_waiting
from inference.redis_clients import get_redis
from inference.types import Bound
from tests.billing.concurrency import run_at_once

BOUND = Bound("second", 7, 2)


@pytest.fixture(autouse=True)
def empty_redis() -> None:
    get_redis().flushdb()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that were sent to their queue because a slot is free for them."""
    sent: list[str] = []
    monkeypatch.setattr(leases, "enqueue_job", lambda *, request_id, model: sent.append(request_id))
    return sent


def take(stack: ExitStack, request_id: str, bound: Bound = BOUND) -> bool:
    return stack.enter_context(take_lease(request_id, bound))


def test_no_more_jobs_run_than_the_placement_computes_at_once(called: list[str]) -> None:
    with ExitStack() as stack:
        assert [take(stack, name) for name in "abc"] == [True, True, False]
        assert list_waiting([7]) == {"c"}


def test_the_job_that_waits_longest_is_called_when_a_slot_is_free(called: list[str]) -> None:
    with ExitStack() as stack, ExitStack() as first:
        take(first, "a")
        assert [take(stack, name) for name in "bcd"] == [True, False, False]
        first.close()
        assert called == ["c"]
        assert list_waiting([7]) == {"d"}


def test_a_slot_is_kept_for_the_job_that_was_called(called: list[str]) -> None:
    with ExitStack() as stack, ExitStack() as first:
        take(first, "a")
        take(stack, "b")
        take(stack, "c")
        first.close()
        assert not take(stack, "newcomer")
        assert take(stack, "c")


def test_waiting_twice_keeps_the_place_in_the_queue(called: list[str]) -> None:
    with ExitStack() as stack, ExitStack() as first:
        take(first, "a")
        assert [take(stack, name) for name in "bcdc"] == [True, False, False, False]
        first.close()
        assert called == ["c"]


def test_a_slot_of_a_dead_worker_is_given_to_who_waits(called: list[str]) -> None:
    get_redis().zadd(slots_key(7), {"dead": 1.0, "another": 2.0})
    get_redis().zadd(leases.waiting_key(7), {"x": 1.0, "y": 2.0, "z": 3.0})
    assert wake_waiting(BOUND) == 2
    assert called == ["x", "y"]


def test_a_renewed_job_keeps_its_slot(called: list[str], settings: Any) -> None:
    with ExitStack() as stack:
        take(stack, "a")
        get_redis().zadd(slots_key(7), {"a": 1.0})
        leases.renew_leases()
        assert take(stack, "b")
        assert not take(stack, "c")


def test_one_job_is_not_computed_twice_whatever_is_free(called: list[str]) -> None:
    with ExitStack() as stack:
        assert [take(stack, "a"), take(stack, "a")] == [True, False]
        assert list_waiting([7]) == set()


def test_a_model_without_a_deployment_has_no_bound(called: list[str]) -> None:
    with ExitStack() as stack:
        assert all(take(stack, str(number), Bound("second")) for number in range(20))
        assert get_redis().keys("lpu:deployment:*") == []


@pytest.mark.django_db(transaction=True)
def test_many_that_come_at_once_overrun_nothing(called: list[str]) -> None:
    with ExitStack() as stack:
        outcomes = run_at_once(*(lambda name=str(number): take(stack, name) for number in range(12)))
        assert (outcomes.count(True), outcomes.count(False)) == (2, 10)
        assert len(list_waiting([7])) == 10
