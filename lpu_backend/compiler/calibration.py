"""What the calibrated mode adds to a schedule: one number, fitted to one published row.

`python -m lpu_backend validate` fits it anew and says whether this is still it.
"""

FITTED_TO = "Llama-2-70B, 576 chips"
"""The row of lpu_backend/validation/published_models.json."""

LAYER_OVERHEAD_CYCLES = 19_888
"""Cycles a layer in which the published system does something that the schedule does not have."""


def fit_layer_overhead(ideal_cycles: int, layers: int, tokens_per_second: float, clock_hz: int) -> int:
    """Whole cycles a layer that bring a token of `ideal_cycles` to the published speed. Never below 0."""
    return max(0, round((clock_hz / tokens_per_second - ideal_cycles) / layers))
