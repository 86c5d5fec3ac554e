"""The wire format of chat completions: one JSON object, or server-sent events, from the same stream of events."""

from typing import Any

import msgspec

from inference.choices import AnswerShape, ChoiceReader
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

    def __init__(
        self,
        handle: JobHandle,
        *,
        service_tier: str | None,
        include_usage: bool,
        shape: AnswerShape | None = None,
    ) -> None:
        shape = shape or AnswerShape()
        self._handle = handle
        self._service_tier = service_tier if service_tier in ("auto", "flex") else None
        self._include_usage = include_usage
        self._has_logprobs = shape.has_logprobs
        self._choices = [
            ChoiceReader(shape, request_id=handle.request_id, index=index) for index in range(shape.choices)
        ]
        self.program_hash = ""

    def add(self, event: TokenEvent) -> None:
        """A token of an answer that is sent whole."""
        self._choices[event.choice].read(event)

    def whole(self, ending: EndEvent) -> bytes:
        """The answer that the added tokens make."""
        body = self._envelope("chat.completion", [self._whole_choice(choice, ending) for choice in self._choices])
        body["usage"] = usage_of(ending)
        body["x_groq"] = {"id": self._handle.request_id, "seed": self._handle.seed}
        body["x_lpu"] = ending.emulated
        return _encoder.encode(body)

    def _whole_choice(self, choice: ChoiceReader, ending: EndEvent) -> dict[str, Any]:
        content = None if choice.calls and not choice.content else choice.content
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        if choice.calls:
            message["tool_calls"] = choice.calls
        return {
            "index": choice.index,
            "message": message,
            "logprobs": self._logprobs(choice.logprobs) if self._has_logprobs else None,
            "finish_reason": choice.finish_reason(ending.finish_reason),
        }

    def first_chunk(self) -> bytes:
        chunks = [self._chunk({"role": "assistant", "content": ""}, choice.index) for choice in self._choices]
        chunks[0]["x_groq"] = {"id": self._handle.request_id, "seed": self._handle.seed}
        return b"".join(map(self._event, chunks))

    def token_chunk(self, event: TokenEvent) -> bytes:
        """Nothing where a token has nothing of its own to show."""
        delta = self._choices[event.choice].read(event)
        if delta.is_empty:
            return b""
        shown: dict[str, Any] = {"tool_calls": delta.calls} if delta.calls else {}
        if delta.content or not delta.calls:
            shown["content"] = delta.content
        chunk = self._chunk(shown, event.choice)
        if delta.logprobs:
            chunk["choices"][0]["logprobs"] = self._logprobs(delta.logprobs)
        return self._event(chunk)

    def last_chunks(self, ending: EndEvent) -> bytes:
        """The finish reasons, the last with `x_groq.usage` and `x_lpu`; the usage that was asked for; `[DONE]`."""
        usage = usage_of(ending)
        chunks = [self._chunk({}, choice.index, choice.finish_reason(ending.finish_reason)) for choice in self._choices]
        chunks[-1]["x_groq"] = {"id": self._handle.request_id, "seed": self._handle.seed, "usage": usage}
        chunks[-1]["x_lpu"] = ending.emulated
        if self._include_usage:
            last = self._envelope("chat.completion.chunk", [])
            last["usage"] = usage
            last["x_lpu"] = ending.emulated
            chunks.append(last)
        return b"".join(map(self._event, chunks)) + DONE

    def fault_chunks(self, fault: ApiError) -> bytes:
        """How a stream fails after it began: Groq's `x_groq.error`, and the envelope that both SDKs raise."""
        chunk = self._chunk({})
        chunk["x_groq"] = {"id": self._handle.request_id, "error": fault.message}
        chunk.update(fault.as_body())
        return self._event(chunk) + DONE

    def _chunk(self, delta: dict[str, Any], index: int = 0, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
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
    def _logprobs(entries: list[dict[str, Any]]) -> dict[str, Any]:
        return {"content": entries, "refusal": None}

    @staticmethod
    def _event(chunk: dict[str, Any]) -> bytes:
        return b"data: " + _encoder.encode(chunk) + b"\n\n"
