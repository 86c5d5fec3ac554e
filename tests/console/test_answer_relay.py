"""The relay alone, with a job's stream that says when it was closed."""

from collections.abc import AsyncIterator

import pytest

from console.answer_figures import AnswerFigures
from console.views import answers
from inference.types import JobEvent, JobHandle, TokenEvent

HANDLE = JobHandle(request_id="req_1", model="lpu-demo", seed=1, created_at_s=0, payload_key=b"")


async def test_a_reader_who_leaves_closes_the_jobs_stream_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    async def stream(handle: JobHandle) -> AsyncIterator[JobEvent]:
        try:
            for index in range(3):
                yield TokenEvent(index=index, text="A")
        finally:
            closed.append(handle.request_id)

    monkeypatch.setattr(answers, "relay_job", stream)
    relay = answers._relay(answers._Answer(HANDLE, AnswerFigures(submitted_at_s=0.0)), -1)
    assert await anext(relay) == b"event: token\nid: 0\ndata: A\n\n"
    assert closed == []
    await relay.aclose()
    assert closed == ["req_1"]
