"""Which tokens a run of tokens sees: all before it, or a window of them."""

import numpy as np

from lpu_backend.runtime.numerics import Floats, Sight


def make_sight(cached_tokens: int, tokens: int, window: int | None) -> Sight:
    """Of `tokens` tokens that follow `cached_tokens`: each sees itself and those before it, at most `window` in all."""
    first = 0 if window is None else max(0, cached_tokens + 1 - window)
    if tokens == 1:
        return Sight(first, None)
    rows = np.arange(cached_tokens, cached_tokens + tokens)[:, None, None]
    columns = np.arange(first, cached_tokens + tokens)
    hidden = columns > rows
    if window is not None:
        hidden |= columns <= rows - window
    mask: Floats = np.where(hidden, np.float32(-np.inf), np.float32(0.0))
    return Sight(first, mask)
