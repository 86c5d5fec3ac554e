"""One choice of an answer, from its tokens to what the API says of it: text, calls of functions, log-probabilities."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from inference.types import TokenEvent
from lpu_backend import CallReading, ToolCall, ToolCallReader, ToolFormat

CALL_ID_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """What an answer has beside one text. `tool_names` are the functions that it may call, written in `tool_format`."""

    choices: int = 1
    has_logprobs: bool = False
    tool_format: ToolFormat | None = None
    tool_names: tuple[str, ...] = ()


@dataclass(slots=True)
class Delta:
    """What one token adds to a choice; `calls` and `logprobs` are in the API's shape."""

    content: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Half a character, or what a stop string hides, or what may become a call."""
        return not (self.content or self.calls or self.logprobs)


class ChoiceReader:
    """One choice's tokens in order. What was read adds up in `content`, `calls` and `logprobs`."""

    def __init__(self, shape: AnswerShape, *, request_id: str, index: int) -> None:
        self.index = index
        self.calls: list[dict[str, Any]] = []
        self.logprobs: list[dict[str, Any]] = []
        self._request_id = request_id
        self._texts: list[str] = []
        self._finish_reason = ""
        self._reader = ToolCallReader(shape.tool_format, shape.tool_names) if shape.tool_format else None

    @property
    def content(self) -> str:
        return "".join(self._texts)

    def read(self, event: TokenEvent) -> Delta:
        delta = Delta(logprobs=[event.logprobs] if event.logprobs else [])
        if self._reader is None:
            delta.content = event.text
        else:
            self._add(delta, self._reader.push(event.text))
            if event.finish_reason:
                self._add(delta, self._reader.finish())
        self._finish_reason = event.finish_reason or self._finish_reason
        self._texts.append(delta.content)
        self.logprobs += delta.logprobs
        return delta

    def finish_reason(self, settled: str) -> str:
        """The API's word for how it ended; `settled` is the job's, for a choice that said nothing itself."""
        reason = self._finish_reason or settled or "stop"
        return "tool_calls" if self.calls and reason == "stop" else reason

    def _add(self, delta: Delta, reading: CallReading) -> None:
        delta.content += reading.content
        for call in reading.calls:
            shown = self._show(call, len(self.calls))
            self.calls.append(shown)
            delta.calls.append({"index": len(self.calls) - 1, **shown})

    def _show(self, call: ToolCall, place: int) -> dict[str, Any]:
        """Its id follows from where it stands: the same whoever reads the stream, and however often."""
        digest = hashlib.sha256(f"{self._request_id}:{self.index}:{place}".encode()).hexdigest()
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{digest[:CALL_ID_CHARACTERS]}", "type": "function", "function": function}
