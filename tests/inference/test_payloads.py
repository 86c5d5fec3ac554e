"""Sealed payloads: readable with the job's key and for that job alone."""

import pytest

from inference.payloads import (
    PayloadError,
    PromptPayload,
    StreamEntry,
    StreamToken,
    new_payload_key,
    open_entry,
    open_prompt,
    seal_payload,
)
from inference.streaming import open_handle, seal_handle
from inference.types import JobHandle

PROMPT = PromptPayload(prompt_ids=[1, 2, 3], stop=["end"])


def test_a_prompt_comes_back_as_it_was() -> None:
    key = new_payload_key()
    assert open_prompt(key, "req_a", seal_payload(key, "req_a", PROMPT)) == PROMPT


def test_tokens_come_back_as_they_were() -> None:
    tokens = [StreamToken(0, " héllo", 7, logprobs={"a": 1}), StreamToken(1, "", finish_reason="stop")]
    key, entry = new_payload_key(), StreamEntry(program_hash="abc", tokens=tokens)
    assert open_entry(key, "req_a", seal_payload(key, "req_a", entry)) == entry


def test_another_key_does_not_open_it() -> None:
    sealed = seal_payload(new_payload_key(), "req_a", PROMPT)
    with pytest.raises(PayloadError):
        open_prompt(new_payload_key(), "req_a", sealed)


def test_it_does_not_pass_for_another_job() -> None:
    key = new_payload_key()
    with pytest.raises(PayloadError):
        open_prompt(key, "req_b", seal_payload(key, "req_a", PROMPT))


def test_the_same_payload_is_never_sealed_the_same_way_twice() -> None:
    key = new_payload_key()
    assert seal_payload(key, "req_a", PROMPT) != seal_payload(key, "req_a", PROMPT)


def test_a_sealed_handle_opens_for_its_own_organization_alone() -> None:
    handle = JobHandle(request_id="req_a", model="m", seed=1, created_at_s=2, payload_key=new_payload_key())
    token = seal_handle(handle, organization_id="org_a")
    assert open_handle(token, organization_id="org_a") == handle
    assert open_handle(token, organization_id="org_b") is None
    assert open_handle("nonsense", organization_id="org_a") is None


def test_a_handle_does_not_show_its_key() -> None:
    handle = JobHandle(request_id="req_a", model="m", seed=1, created_at_s=2, payload_key=b"secret-key-bytes")
    assert "secret-key" not in repr(handle)
