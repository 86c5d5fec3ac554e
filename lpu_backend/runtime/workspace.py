"""The arrays that a pass of kernels computes in, and the threads, kept from one to the next."""

import numpy as np

from lpu_backend.runtime.crew import Crew
from lpu_backend.runtime.kernel_layout import Room
from lpu_backend.runtime.kernel_ops import ELEMENTS_TOGETHER, OUTPUTS_TOGETHER, TOKENS_TOGETHER, Arena, Scratch
from lpu_backend.runtime.page_pool import PAGE_TOKENS

_MOST_HEAD_CHANNELS = 1_024


class Workspace:
    """Of one thread that calls, for one program at a time: it grows to what the largest pass needed."""

    def __init__(self, threads: int, most_outputs: int) -> None:
        self._threads, self._most_outputs = threads, most_outputs
        self.crew = Crew(threads)
        self._arena = Arena(0, np.empty(0, np.float32), np.empty(0, np.int16), np.empty(0, np.float32))
        self._scratch = self._make_scratch(0)

    def fit(self, room: Room, rows: int) -> Arena:
        """With room for so many rows."""
        _, values, numbers, scales = self._arena
        self._arena = Arena(
            rows,
            values if len(values) >= rows * room.columns else np.empty(rows * room.columns, np.float32),
            numbers if len(numbers) >= rows * room.operand_columns else np.empty(rows * room.operand_columns, np.int16),
            scales if len(scales) >= rows * room.operands else np.empty(rows * room.operands, np.float32),
        )
        return self._arena

    def fit_context(self, tokens: int) -> Scratch:
        """With room for attention over so many."""
        if self._scratch.scores.shape[1] < tokens + PAGE_TOKENS:
            self._scratch = self._make_scratch(2 * tokens)
        return self._scratch

    def _make_scratch(self, tokens: int) -> Scratch:
        context = tokens + 2 * PAGE_TOKENS
        sums = max(context, 2 * _MOST_HEAD_CHANNELS, TOKENS_TOGETHER * (self._most_outputs + 2 * OUTPUTS_TOGETHER))
        return Scratch(
            np.empty((self._threads, context), np.float32),
            np.empty((self._threads, 2 * context + _MOST_HEAD_CHANNELS), np.int16),
            np.empty((self._threads, sums), np.int32),
            np.empty((self._threads, ELEMENTS_TOGETHER), np.float64),
            np.empty((self._threads, ELEMENTS_TOGETHER), np.int64),
        )
