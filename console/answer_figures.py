"""The wall-clock figures of one streamed answer, while it runs and at its end."""

import time
from dataclasses import dataclass, field

from inference.types import EndEvent

# Often enough to look alive, seldom enough that a fast stream is not mostly figures.
REFRESH_S = 0.1


@dataclass(slots=True)
class AnswerFigures:
    """What the relay has seen so far. `submitted_at_s` is the wall clock when the job was made."""

    submitted_at_s: float
    completion_tokens: int = 0
    ttft_ms: float | None = None
    tokens_per_second: float | None = None
    _first_token_at_s: float = field(default=0.0, repr=False)
    _refreshed_at_s: float = field(default=0.0, repr=False)

    def count_token(self) -> None:
        now_s = time.time()
        self.completion_tokens += 1
        if self.ttft_ms is None:
            self._first_token_at_s = now_s
            self.ttft_ms = max(now_s - self.submitted_at_s, 0.0) * 1_000
        elapsed_s = now_s - self._first_token_at_s
        if elapsed_s > 0 and self.completion_tokens > 1:
            self.tokens_per_second = (self.completion_tokens - 1) / elapsed_s

    def is_due(self) -> bool:
        """Whether the page should hear again; the first token always is."""
        now_s = time.monotonic()
        if now_s - self._refreshed_at_s < REFRESH_S and self.completion_tokens > 1:
            return False
        self._refreshed_at_s = now_s
        return True

    def close(self, ending: EndEvent) -> None:
        """The final count, and the rate that the worker met; an answer of one token has no rate."""
        self.completion_tokens = ending.completion_tokens
        if ending.completion_tokens > 1 and ending.completion_time > 0:
            self.tokens_per_second = (ending.completion_tokens - 1) / ending.completion_time
