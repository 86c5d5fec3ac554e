"""The pace of the emulated hardware: no token leaves before the schedule would have had it."""

import time
from collections.abc import Callable

from lpu_backend import ChatModel


class HardwarePace:
    """Counts from its making: the prefill first, then token after token, in cycles at the chip's clock.

    An answer that goes on after `made_tokens` owes the time of what follows those.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        prompt_tokens: int,
        made_tokens: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._prompt_tokens = model, prompt_tokens
        self._began_s = clock() - (self._seconds(made_tokens) if made_tokens else 0.0)

    def due_s(self, completion_tokens: int) -> float:
        """The time of its clock at which the hardware would have made so many tokens."""
        return self._began_s + self._seconds(completion_tokens)

    def _seconds(self, completion_tokens: int) -> float:
        return self._model.emulate(prompt_tokens=self._prompt_tokens, completion_tokens=completion_tokens).seconds
