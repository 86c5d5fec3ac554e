"""Models come, go and are swapped while a real worker runs, and what streams meanwhile is not disturbed."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

import httpx
import openai
import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from accounts.models import Organization
from billing.selectors import get_funds
from inference import delivery, rollout, worker
from inference.chips import list_placement
from inference.completions import fingerprint
from inference.models import Deployment, Job, LanguageModel
from inference.reconciliation import reconcile_billing
from inference.rollout import place_model
from lpu_backend import Engine
from lpu_backend.serial_engine import SerialEngine
from tests.lpu_backend.tiny_checkpoint import WriteCheckpoint
from tests.serving import NULL, Path, _NullVariant, wait_for_end

pytestmark = pytest.mark.django_db(transaction=True)

State = Deployment.State
MESSAGES = [{"role": "user", "content": "Hello"}]

RunCommand = Callable[..., str]


def client(path: Path) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{path.url}/v1", api_key=path.key, max_retries=0)


def ask(path: Path, model: str, **fields: Any) -> httpx.Response:
    return path.post(**{"model": model, "max_completion_tokens": 8, "seed": 3, **fields})


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "It did not come to be."
        time.sleep(0.02)


def serving(model_id: str) -> Deployment:
    wait_until(lambda: Deployment.objects.filter(model_id=model_id, state=State.SERVING).exists())
    return Deployment.objects.get(model_id=model_id, state=State.SERVING)


class _Gate:
    """Models make a token only when they are let; the first answers need one before the call returns."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)

    def let(self, tokens: int) -> None:
        self.permits.release(tokens)

    def wrap(self, model: Any) -> Any:
        gate = self

        class _Gated:
            program_hash, emulate = model.program_hash, model.emulate

            def make_engine(self, max_batch: int) -> Engine:
                return SerialEngine(self.generate, max_batch)

            def generate(self, prompt_ids: Any, params: Any) -> Iterator[Any]:
                for step in model.generate(prompt_ids, params):
                    assert gate.permits.acquire(timeout=20)
                    yield step

        return _Gated()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Gate]:
    """Before every model that computes; open again at the end of the test."""
    gate, load_model = _Gate(), delivery.load_model
    monkeypatch.setattr(delivery, "load_model", lambda *which: gate.wrap(load_model(*which)))
    yield gate
    gate.let(1000)


def texts(chunks: Any) -> Iterator[str]:
    return (chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content)


def test_a_model_comes_into_service_while_another_streams(
    following: Path, checkpoint: FilePath, run_command: RunCommand, gate: _Gate
) -> None:
    with client(following) as api:
        gate.let(3)
        stream = texts(api.chat.completions.create(model=NULL, messages=MESSAGES, stream=True))
        begun = [next(stream) for _ in range(3)]
        found = json.loads(run_command("deploy_model", str(checkpoint), "--name", "second", "--json"))
        assert (found["state"], found["chips"], found["model"]) == ("serving", 1, "second")
        assert [model.id for model in api.models.list().data] == ["lpu-demo", NULL, "second"]
        gate.let(8 + 13)
        assert ask(following, "second").json()["usage"]["completion_tokens"] == 8
        assert "".join([*begun, *stream]) == "".join(f" tok{index:02d}" for index in range(16))


def test_the_command_says_step_by_step_what_it_does(
    following: Path, checkpoint: FilePath, tmp_path: FilePath, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PROGRAMS_DIR = tmp_path / "programs"  # else what an earlier run compiled is found, and nothing is said
    call_command("deploy_model", str(checkpoint), "--name", "second", "--chips", "8", "--pacing", "hardware")
    printed = capsys.readouterr()
    for step in (
        "Checking",
        "Fits 8 chips (at least 1)",
        "Compiled 6 of 6 kinds of step",
        "Placed on 8 chips: node 1",
        "Loading",
        "In service",
    ):
        assert step in printed.err
    assert printed.out == "second is in service on 8 of the cluster's chips.\n"
    assert serving("second").pacing == "hardware"
    assert ask(following, "second").json()["x_lpu"]["chips"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{}", "--name", "second", "--chips", "12"), "12 chips are no whole nodes of 8"),
        (("{}", "--name", "second", "--chips", "72"), "72 chips are needed as 9 whole nodes"),
        (("{}/nothing", "--name", "second"), "config.json: cannot be read"),
        (("{}", "--name", "a b"), "no model id"),
        (("{}", "--name", "second", "--price-input", "1"), "A price has two parts"),
        (("{}", "--name", "second", "--price-input", "x", "--price-output", "1"), "A price is USD per million"),
        (("{}", "--name", "second", "--price-input", "1e30", "--price-output", "1"), "a token costs from 0 to"),
        (("{}", "--name", "second", "--price-input", "inf", "--price-output", "1"), "A price is USD per million"),
    ],
)
def test_it_refuses_with_a_sentence_and_changes_nothing(
    following: Path, checkpoint: FilePath, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("deploy_model", *(argument.format(checkpoint) for argument in arguments))
    assert not LanguageModel.objects.filter(pk="second").exists()


def test_it_refuses_where_no_worker_could_load_it(server: str, checkpoint: FilePath) -> None:
    with pytest.raises(CommandError, match="No worker is running"):
        call_command("deploy_model", str(checkpoint), "--name", "second")
    assert not Deployment.objects.exists()


def test_it_refuses_where_every_worker_serves_other_models(
    following: Path, checkpoint: FilePath, settings: Any
) -> None:
    settings.SERVED_MODELS = ["lpu-demo"]
    wait_until(lambda: worker.list_workers(serving="second") == [])
    assert worker.list_workers(serving="lpu-demo") == worker.list_workers() != []
    with pytest.raises(CommandError, match="would serve second"):
        call_command("deploy_model", str(checkpoint), "--name", "second")


def test_a_worker_that_missed_the_call_comes_by_itself(
    following: Path, checkpoint: FilePath, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "call_workers", lambda: None)
    run_command("deploy_model", str(checkpoint), "--name", "second")
    assert ask(following, "second").status_code == 200


def test_a_cluster_that_cannot_be_cabled_is_refused_before_anything_starts(settings: Any) -> None:
    settings.CLUSTER_CHIPS = 12
    with pytest.raises(SystemCheckError, match="12 chips are no whole nodes; 16 are"):
        call_command("check")


def test_what_the_worker_cannot_load_is_not_put_into_service(following: Path, checkpoint: FilePath) -> None:
    weights = checkpoint / "model.safetensors"
    serving(NULL)
    worker.stop_threads()
    weights_before = weights.read_bytes()
    deployment = place_model(
        model_id="second", folder=checkpoint, chips=None, pacing="host", price=None, report=lambda line: None
    )
    weights.write_bytes(weights_before[:1000])
    worker.serve_deployments()
    deployment.refresh_from_db()
    assert (deployment.state, list_placement(deployment)) == (State.FAILED, ())
    assert ask(following, "second").status_code == 404


def test_a_swap_ends_running_jobs_on_the_old_program(
    following: Path, write_checkpoint: WriteCheckpoint, run_command: RunCommand, gate: _Gate, tmp_path: FilePath
) -> None:
    for seed, name in ((1, "old"), (2, "new")):
        shutil.copytree(write_checkpoint(seed=seed), tmp_path / name)
    old = json.loads(run_command("deploy_model", str(tmp_path / "old"), "--name", "second", "--json"))
    with client(following) as api:
        gate.let(1)
        stream = api.chat.completions.create(model="second", messages=MESSAGES, stream=True, max_completion_tokens=20)
        fingerprints = {next(iter(stream)).system_fingerprint}
        new = json.loads(run_command("deploy_model", str(tmp_path / "new"), "--name", "second", "--json"))
        gate.let(19 + 8)
        fingerprints |= {chunk.system_fingerprint for chunk in stream}
    after = ask(following, "second").json()["system_fingerprint"]
    assert fingerprints == {fingerprint(old["program_hash"])} != {after}
    assert after == fingerprint(new["program_hash"])
    wait_until(lambda: Deployment.objects.get(pk=old["deployment"]).state == State.RETIRED)


def test_a_retired_model_ends_its_jobs_and_takes_no_new_ones(
    following: Path, run_command: RunCommand, gate: _Gate
) -> None:
    deployment = serving(NULL)
    with client(following) as api:
        gate.let(2)
        stream = texts(api.chat.completions.create(model=NULL, messages=MESSAGES, stream=True))
        begun = [next(stream) for _ in range(2)]
        with pytest.raises(CommandError, match="still run"):
            call_command("retire_model", NULL, "--timeout", "0.1")
        refused = ask(following, NULL)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
        assert [model.id for model in api.models.list().data] == ["lpu-demo"]
        gate.let(14)
        assert len([*begun, *stream]) == 16
    wait_until(lambda: not list_placement(deployment))
    deployment.refresh_from_db()
    assert deployment.state == State.RETIRED
    with pytest.raises(CommandError, match="not in service"):
        call_command("retire_model", NULL)


def test_a_deployed_model_is_retired_and_its_chips_are_free(
    following: Path, checkpoint: FilePath, run_command: RunCommand
) -> None:
    run_command("deploy_model", str(checkpoint), "--name", "second", "--chips", "16")
    free = json.loads(run_command("cluster", "--json"))["free_chips"]
    assert json.loads(run_command("retire_model", "second", "--json"))["freed_chips"] == 16
    assert json.loads(run_command("cluster", "--json"))["free_chips"] == free + 16
    assert ask(following, "second").status_code == 404


def test_a_failed_chip_is_a_pause_in_the_stream_with_the_same_bytes_and_bill(
    following: Path, run_command: RunCommand, gate: _Gate, organization: Organization
) -> None:
    chip = list_placement(serving(NULL))[0]
    with client(following) as api:
        gate.let(5)
        pieces = texts(api.chat.completions.create(model=NULL, messages=MESSAGES, stream=True))
        begun = [next(pieces) for _ in range(5)]
        found = json.loads(run_command("fail_chip", str(chip), "--json"))
        assert (found["model"], found["placement"]) == (NULL, [64])
        gate.let(1)
        wait_until(lambda: Job.objects.get().moves == 1)
        gate.let(100)
        assert "".join([*begun, *pieces]) == "".join(f" tok{index:02d}" for index in range(16))
    job = wait_for_end(Job.objects.get().pk)
    assert (job.moves, job.completion_tokens) == (1, 16)
    assert job.cost_pusd == job.prompt_tokens * 50_000 + 16 * 80_000
    assert reconcile_billing().differences == []
    assert get_funds(organization.pk).held_pusd == 0


def test_a_model_without_chips_is_out_of_service_with_a_reason_until_a_repair(
    following: Path, run_command: RunCommand
) -> None:
    serving(NULL)
    run_command("deploy_model", "models/lpu-demo", "--name", "big", "--chips", "56")
    chip = list_placement(serving("big"))[0]
    run_command("fail_chip", "64")
    assert "is out of service" in run_command("fail_chip", str(chip))
    refused = ask(following, "big")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_unavailable")
    assert "has a failed chip" in refused.json()["error"]["message"]
    with client(following) as api:
        assert {model.id: model.active for model in api.models.list().data}["big"] is False
    assert "big" in run_command("cluster")
    assert "In service again: big" in run_command("repair_chip", str(chip))
    assert ask(following, "big").status_code == 200


def test_workers_compute_no_more_jobs_at_once_than_the_placement_holds(
    following: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Deployment.objects.filter(pk=serving(NULL).pk).update(max_batch=2)
    running, most, lock = 0, 0, threading.Lock()

    class _Counted(_NullVariant):
        def generate(self, prompt_ids: Any, params: Any) -> Any:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                yield from super().generate(prompt_ids, params)
            finally:
                with lock:
                    running -= 1

    monkeypatch.setattr(delivery, "load_model", lambda *_: _Counted(pause_s=0.005))
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(following.post().status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert most == 2
