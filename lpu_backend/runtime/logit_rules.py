"""What changes logits before a token is chosen: bias and penalties.

All of it in float64, one IEEE operation after another in a fixed order: no host computes it otherwise.
"""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.exceptions import SamplingParamsError
from lpu_backend.runtime.sampling import Logits
from lpu_backend.types import SamplingParams


class LogitRules:
    """The rules of one answer, and how often it has had each token. Raises SamplingParamsError for ids outside."""

    def __init__(self, params: SamplingParams, vocabulary_tokens: int) -> None:
        self._bias_ids = np.array([token_id for token_id, _ in params.logit_bias], dtype=np.intp)
        self._bias = np.array([bias for _, bias in params.logit_bias], dtype=np.float64)
        if self._bias_ids.size and self._bias_ids.max() >= vocabulary_tokens:
            raise SamplingParamsError(f"logit_bias: the vocabulary has {vocabulary_tokens} tokens")
        self._frequency, self._presence = params.frequency_penalty, params.presence_penalty
        self._has_penalties = self._frequency != 0.0 or self._presence != 0.0
        self._counts: dict[int, int] = {}

    def count(self, token_id: int) -> None:
        """The answer has this token once more."""
        if self._has_penalties:
            self._counts[token_id] = self._counts.get(token_id, 0) + 1

    def apply(self, logits: NDArray[np.float32]) -> Logits:
        """Logits [vocabulary] as they are if no rule bears on them, else a float64 copy.

        Each is logit + bias - count x frequency_penalty - presence_penalty, from left to right, as OpenAI's API
        reference defines them.
        """
        if not self._bias.size and not self._counts:
            return logits
        changed = logits.astype(np.float64)
        changed[self._bias_ids] += self._bias
        if self._counts:
            ids = np.array(list(self._counts), dtype=np.intp)
            changed[ids] -= np.array(list(self._counts.values()), dtype=np.float64) * self._frequency
            changed[ids] -= self._presence
        return changed
