"""The wire format of chat completions: one JSON object, or server-sent events, from the same stream of events."""

from typing import Any

import msgspec

from inference.exceptions import ApiError, deadline_exceeded, engine_fault
from inference.types import EndEvent, JobHandle, TokenEvent

DONE = b"data: [DONE]\n\n"
FAULTS = {"deadline_exceeded": deadline_exceeded}  # by the error code of the job; any other is the engine's
_encoder = msgspec.json.Encoder()


def fingerprint(program_hash: str) -> str:
    """`fp_` and the first 16 hex digits of the program's hash: the same fingerprint, the same bits."""
    return f"fp_{program_hash.removeprefix('sha256:')[:16]}"


def usage_of(ending: EndEvent) -> dict[str, Any]:
    """Token counts, and wall-clock seconds; the total is prompt and completion, without the queue."""
    return {
        "prompt_tokens": ending.prompt_tokens,
        "completion_tokens": ending.completion_tokens,
        "total_tokens": ending.prompt_tokens + ending.completion_tokens,
        "queue_time": ending.queue_time,
        "prompt_time": ending.prompt_time,
        "completion_time": ending.completion_time,
        "total_time": ending.prompt_time + ending.completion_time,
        "prompt_tokens_details": {"cached_tokens": ending.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def fault_of(ending: EndEvent) -> ApiError | None:
    return FAULTS.get(ending.error_code, engine_fault)() if ending.error_code else None


class CompletionWriter:
    """Writes one job's answer in the shapes that the OpenAI and Groq SDKs read."""

    def __init__(self, handle: JobHandle, *, service_tier: str | None, include_usage: bool) -> None:
        self._handle = handle
        self._service_tier = service_tier if service_tier in ("auto", "flex") else None
        self._include_usage = include_usage
        self.program_hash = ""

    def whole(self, text: str, ending: EndEvent) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": ending.finish_reason or "stop"}
        body = self._envelope("chat.completion", [choice])
        body["usage"] = usage_of(ending)
        body["x_groq"] = {"id": self._handle.request_id, "seed": self._handle.seed}
        body["x_lpu"] = ending.emulated
        return _encoder.encode(body)

    def first_chunk(self) -> bytes:
        chunk = self._chunk({"role": "assistant", "content": ""})
        chunk["x_groq"] = {"id": self._handle.request_id, "seed": self._handle.seed}
        return self._event(chunk)

    def token_chunk(self, event: TokenEvent) -> bytes:
        """Nothing where a token has no text of its own: half a character, or what a stop string hides."""
        return self._event(self._chunk({"content": event.text})) if event.text else b""

    def last_chunks(self, ending: EndEvent) -> bytes:
        """The finish reason with `x_groq.usage` and `x_lpu`, then the usage that was asked for, then `[DONE]`."""
        usage = usage_of(ending)
        chunk = self._chunk({}, ending.finish_reason or "stop")
        chunk["x_groq"] = {"id": self._handle.request_id, "seed": self._handle.seed, "usage": usage}
        chunk["x_lpu"] = ending.emulated
        events = self._event(chunk)
        if self._include_usage:
            last = self._envelope("chat.completion.chunk", [])
            last["usage"] = usage
            last["x_lpu"] = ending.emulated
            events += self._event(last)
        return events + DONE

    def fault_chunks(self, fault: ApiError) -> bytes:
        """How a stream fails after it began: Groq's `x_groq.error`, and the envelope that both SDKs raise."""
        chunk = self._chunk({}, None)
        chunk["x_groq"] = {"id": self._handle.request_id, "error": fault.message}
        chunk.update(fault.as_body())
        return self._event(chunk) + DONE

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._envelope("chat.completion.chunk", [choice])

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._handle.completion_id,
            "object": kind,
            "created": self._handle.created_at_s,
            "model": self._handle.model,
            "system_fingerprint": fingerprint(self.program_hash),
            "service_tier": self._service_tier,
            "choices": choices,
        }

    @staticmethod
    def _event(chunk: dict[str, Any]) -> bytes:
        return b"data: " + _encoder.encode(chunk) + b"\n\n"
