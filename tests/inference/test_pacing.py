"""Tokens never leave before the schedule would have had them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Project
from inference import delivery
from inference.delivery import deliver_job
from inference.deployments import set_pacing
from inference.models import Deployment, Job
from inference.pacing import HardwarePace
from lpu_backend import EmulatedTime, null_model
from tests.inference.test_chip_failures import deployment, job, redis, requeued

__all__ = ["deployment", "job", "redis", "requeued"]


class _Clock:
    """A time that passes only by sleeping, or when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


class _Scheduled:
    """A model that takes a second for the prompt and half a second for each further token."""

    def emulate(self, *, prompt_tokens: int, completion_tokens: int) -> EmulatedTime:
        seconds = 1.0 + (completion_tokens - 1) * 0.5
        return EmulatedTime(1, 1, seconds, 1.0, "hash", "estimate")


def pace(clock: _Clock) -> HardwarePace:
    return HardwarePace(_Scheduled(), prompt_tokens=3, clock=clock, sleep=clock.sleep)


def test_a_token_waits_for_the_prefill_and_each_further_one_for_its_cycles() -> None:
    clock = _Clock()
    paced, left_s = pace(clock), []
    for tokens in range(1, 5):
        paced.hold_back(tokens)
        left_s.append(clock.now_s - 100)
    assert left_s == [1.0, 1.5, 2.0, 2.5]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=20))
def test_however_fast_or_slow_the_host_computes_no_token_is_early_and_none_waits_without_need(
    computing_s: list[float],
) -> None:
    clock = _Clock()
    paced = pace(clock)
    for tokens, seconds in enumerate(computing_s, start=1):
        clock.now_s += seconds
        computed_s, due_s = clock.now_s, 100 + 1.0 + (tokens - 1) * 0.5
        paced.hold_back(tokens)
        assert clock.now_s == pytest.approx(max(computed_s, due_s))


@pytest.mark.django_db
@pytest.mark.parametrize("pacing", Deployment.Pacing.values)
def test_a_worker_holds_tokens_back_for_hardware_and_not_for_host(
    job: Job, deployment: Deployment, project: Project, monkeypatch: pytest.MonkeyPatch, pacing: str
) -> None:
    held: list[int] = []

    class _Recorded:
        def __init__(self, model: Any, *, prompt_tokens: int) -> None:
            assert prompt_tokens == job.prompt_tokens

        def hold_back(self, completion_tokens: int) -> None:
            held.append(completion_tokens)

    set_pacing(deployment=deployment, pacing=pacing)
    monkeypatch.setattr(delivery, "HardwarePace", _Recorded)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.COMPLETED
    assert held == (list(range(1, 17)) if pacing == "hardware" else [])


def test_the_null_models_own_schedule_is_kept() -> None:
    clock = _Clock()
    paced = HardwarePace(null_model(), prompt_tokens=900_000_000, clock=clock, sleep=clock.sleep)
    paced.hold_back(1)
    assert clock.now_s == pytest.approx(101.0)
