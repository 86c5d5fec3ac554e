"""Tokens never leave before the schedule would have had them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Project
from inference import runs
from inference.deployments import set_pacing
from inference.models import Deployment, Job
from inference.pacing import HardwarePace
from inference.payloads import PromptPayload
from lpu_backend import EmulatedTime, SamplingParams, null_model
from tests.inference.test_chip_failures import deployment, job, redis
from tests.inference.worker_bench import deliver_job

__all__ = ["deployment", "job", "redis"]


BEGAN_S = 100.0


class _Scheduled:
    """A model that takes a second for the prompt and half a second for each further token."""

    def emulate(self, *, prompt_tokens: int, completion_tokens: int) -> EmulatedTime:
        seconds = 1.0 + (completion_tokens - 1) * 0.5
        return EmulatedTime(1, 1, seconds, 1.0, "hash", "estimate")


def pace(made_tokens: int = 0) -> HardwarePace:
    return HardwarePace(_Scheduled(), prompt_tokens=3, made_tokens=made_tokens, clock=lambda: BEGAN_S)


def test_a_token_waits_for_the_prefill_and_each_further_one_for_its_cycles() -> None:
    paced = pace()
    assert [paced.due_s(tokens) - BEGAN_S for tokens in range(1, 5)] == [1.0, 1.5, 2.0, 2.5]


def test_an_answer_that_goes_on_elsewhere_owes_only_the_time_of_what_follows() -> None:
    paced = pace(made_tokens=4)
    assert [paced.due_s(tokens) - BEGAN_S for tokens in (5, 6)] == [0.5, 1.0]


@given(st.lists(st.floats(0, 12), min_size=1, max_size=20))
def test_however_fast_the_host_computes_no_token_is_early_and_none_waits_without_need(at_s: list[float]) -> None:
    job = Job(deployment=Deployment(pacing=Deployment.Pacing.HARDWARE), prompt_tokens=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "HardwarePace", lambda *_, **__: pace())
        run = runs.Run(job, null_model(), PromptPayload([1, 2, 3], []))
    run.add(0, list(null_model().generate([1, 2, 3], SamplingParams(16))))
    written = 0
    for seconds in sorted(at_s):
        written += len(run.take(BEGAN_S + seconds).tokens)
        assert written == sum(BEGAN_S + 1.0 + token * 0.5 <= BEGAN_S + seconds for token in range(16))


@pytest.mark.django_db
@pytest.mark.parametrize("pacing", Deployment.Pacing.values)
def test_a_worker_holds_tokens_back_for_hardware_and_not_for_host(
    job: Job, deployment: Deployment, project: Project, monkeypatch: pytest.MonkeyPatch, pacing: str
) -> None:
    asked: list[int] = []

    class _Recorded(HardwarePace):
        def due_s(self, completion_tokens: int) -> float:
            asked.append(completion_tokens)
            return super().due_s(completion_tokens)

    set_pacing(deployment=deployment, pacing=pacing)
    monkeypatch.setattr(runs, "HardwarePace", _Recorded)
    deliver_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.COMPLETED
    assert set(asked) == (set(range(1, 17)) if pacing == "hardware" else set())


def test_the_null_models_own_schedule_is_kept() -> None:
    paced = HardwarePace(null_model(), prompt_tokens=900_000_000, clock=lambda: BEGAN_S)
    assert paced.due_s(1) == pytest.approx(BEGAN_S + 1.0)
