"""The pace of the emulated hardware: no token leaves before the schedule would have had it."""

import time
from collections.abc import Callable

from lpu_backend import ChatModel


class HardwarePace:
    """Counts from its making: the prefill first, then token after token, in cycles at the chip's clock."""

    def __init__(
        self,
        model: ChatModel,
        *,
        prompt_tokens: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._model, self._prompt_tokens = model, prompt_tokens
        self._clock, self._sleep = clock, sleep
        self._began_s = clock()

    def hold_back(self, completion_tokens: int) -> None:
        """Returns once the hardware would have made so many tokens."""
        emulated = self._model.emulate(prompt_tokens=self._prompt_tokens, completion_tokens=completion_tokens)
        early_s = self._began_s + emulated.seconds - self._clock()
        if early_s > 0:
            self._sleep(early_s)
